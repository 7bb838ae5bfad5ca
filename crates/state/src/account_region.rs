//! Check that a run uses the account and region that the snapshot records.

use pb_engine::{Failure, Refusal, Snapshot};

/// Account and region to which a run deploys a workspace. Every write of the snapshot records them. A run with another
/// account or region refuses the snapshot, because in that account or region, all recorded resources would appear to
/// have been deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRegion {
    /// Account of the credentials, or `None` if the account is unknown and therefore not compared.
    pub account: Option<String>,
    /// Configured region.
    pub region: String,
}

impl AccountRegion {
    /// Checks that the snapshot of `workspace` records neither another account nor another region. A snapshot without
    /// resources and without an unfinished run is accepted with any account and region, so that a workspace can move
    /// after a destroy.
    ///
    /// # Errors
    /// `Refused`, with the recorded account and region and those of this run.
    pub fn check(&self, snapshot: &Snapshot, workspace: &str) -> Result<(), Failure> {
        let is_empty = snapshot.resources.is_empty() && snapshot.intents.is_none();
        let differs = |recorded: &Option<String>, now: Option<&String>| match (recorded, now) {
            (Some(recorded), Some(now)) => recorded != now,
            _ => false,
        };
        let other_account = differs(&snapshot.account, self.account.as_ref());
        let other_region = differs(&snapshot.region, Some(&self.region));
        if is_empty || !(other_account || other_region) {
            return Ok(());
        }
        let recorded = describe(snapshot.account.as_ref(), snapshot.region.as_ref());
        let now = describe(self.account.as_ref(), Some(&self.region));
        let message = format!("{workspace} is deployed to {recorded}, but this run uses {now}; nothing was changed");
        let hint = match (other_account, other_region) {
            (true, false) => "use credentials of the recorded account (AWS_PROFILE, `--profile`)",
            (false, true) => "set `region` in the configuration (or `--region`) to the recorded one",
            _ => {
                "use credentials of the recorded account (AWS_PROFILE, `--profile`), and set `region` in the \
                 configuration (or `--region`) to the recorded one"
            }
        };
        let hint = format!("{hint}; to move the workspace, destroy it there first");
        Err(Failure::refused(Refusal::WrongAccount, "check the account and region of the state", message).hint(hint))
    }

    /// Records this account and region in `snapshot`.
    pub(crate) fn record(&self, snapshot: &mut Snapshot) {
        if let Some(account) = &self.account {
            snapshot.account = Some(account.clone());
        }
        snapshot.region = Some(self.region.clone());
    }
}

/// Formats the known values, such as `account 123456789012 in us-east-2`.
fn describe(account: Option<&String>, region: Option<&String>) -> String {
    match (account, region) {
        (Some(account), Some(region)) => format!("account {account} in {region}"),
        (Some(account), None) => format!("account {account}"),
        (None, Some(region)) => region.clone(),
        (None, None) => "an unknown account and region".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::AccountRegion;
    use pb_engine::{Address, Class, Intents, Record, Snapshot};
    use serde_json::json;

    fn account_region(account: Option<&str>, region: &str) -> AccountRegion {
        AccountRegion { account: account.map(str::to_owned), region: region.to_owned() }
    }

    fn recorded(account: Option<&str>, region: Option<&str>) -> Snapshot {
        let record = Record { kind: "k".into(), spec: json!({}), attrs: json!({}), ready: true };
        Snapshot {
            account: account.map(str::to_owned),
            region: region.map(str::to_owned),
            resources: [(Address::new("net/vpc").unwrap(), record)].into(),
            ..Snapshot::default()
        }
    }

    #[test]
    fn other_account_or_region_is_refused_with_both() {
        let (same, there) = ("111111111111", "222222222222");
        let snapshot = recorded(Some(same), Some("us-east-2"));
        for (account, region, hinted, unhinted) in [
            (Some(there), "us-east-2", "AWS_PROFILE", "`region`"),
            (Some(same), "eu-west-1", "`region`", "AWS_PROFILE"),
            (None, "eu-west-1", "`region`", "AWS_PROFILE"),
        ] {
            let failure = account_region(account, region).check(&snapshot, "staging").unwrap_err();
            assert_eq!(failure.class, Class::Refused);
            let words = format!("staging is deployed to account {same} in us-east-2, but this run uses ");
            assert!(failure.message.starts_with(&words) && failure.message.contains(region), "{failure}");
            assert!(failure.message.contains(account.unwrap_or(region)), "{failure}");
            let hint = failure.hint.unwrap();
            assert!(hint.contains(hinted) && !hint.contains(unhinted), "{hint}");
        }
        let hint = account_region(Some(there), "eu-west-1").check(&snapshot, "staging").unwrap_err().hint.unwrap();
        assert!(hint.contains("AWS_PROFILE") && hint.contains("`region`"), "{hint}");
    }

    #[test]
    fn same_or_unrecorded_account_and_region_are_accepted() {
        let same = account_region(Some("111111111111"), "us-east-2");
        same.check(&recorded(Some("111111111111"), Some("us-east-2")), "staging").unwrap();
        same.check(&recorded(None, None), "staging").unwrap();
        account_region(None, "us-east-2").check(&recorded(Some("222222222222"), Some("us-east-2")), "staging").unwrap();
    }

    #[test]
    fn empty_snapshot_accepts_another_account_and_region() {
        let mut snapshot = Snapshot { resources: [].into(), ..recorded(Some("222222222222"), Some("eu-west-1")) };
        let same = account_region(Some("111111111111"), "us-east-2");
        same.check(&snapshot, "staging").unwrap();
        snapshot.intents = Some(Intents {
            plan: "p".into(),
            operation: pb_engine::Operation::Deploy,
            steps: Vec::new(),
            written: false,
        });
        same.check(&snapshot, "staging").unwrap_err();
    }
}
