//! Context of a command about one workspace: configuration, AWS client configuration, owner, state.

use crate::cli::Global;
use crate::exit::Error;
use crate::workspace::prerequisites;
use crate::workspace::public_dns;
use crate::workspace::recorded_names;
use aws_config::SdkConfig;
use pb_aws::{Access, Connection};
use pb_config::{Config, Workspace};
use pb_engine::{Failure, Ownership, Snapshot};
use pb_state::{AccountRegion, Session, StateLocation, Store, Timing};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One workspace: what every command about its resources needs.
#[derive(Clone)]
pub struct WorkspaceContext {
    pub workspace: Workspace,
    /// Folder of the configuration file; empty for the current folder.
    pub project: PathBuf,
    pub aws: SdkConfig,
    pub owner: Arc<Ownership>,
    pub location: StateLocation,
    pub account_region: AccountRegion,
    /// Snapshot at the time when the context was opened.
    pub snapshot: Snapshot,
    pub timing: Timing,
}

impl WorkspaceContext {
    /// Reads the configuration, the snapshot and the account of the credentials, and uses the recorded names.
    ///
    /// # Errors
    /// An invalid configuration; a snapshot that cannot be read, or that belongs to another account or region;
    /// credentials of an account that is not allowed.
    pub async fn open(global: &Global, name: &str) -> Result<Self, Error> {
        let mut workspace = load_workspace(global, name)?;
        let aws = connect(global, &workspace).await?;
        let StateContext { snapshot, account_region, .. } = StateContext::open(&aws, &workspace).await?;
        recorded_names::use_recorded_names(&mut workspace, &snapshot);
        let location = state_location(&workspace);
        let (owner, timing) = (Arc::new(location.owner.clone()), global.timing());
        let project = project_folder(global);
        Ok(Self { workspace, project, aws, owner, location, account_region, snapshot, timing })
    }

    /// Returns the name of the workspace.
    pub fn name(&self) -> &str {
        &self.workspace.name
    }

    /// Returns the store of the snapshot, with the account and region that a write records.
    pub fn store(&self) -> Store {
        Store::new(&self.aws, &self.location).at(self.account_region.clone())
    }
}

/// Returns the folder of the configuration file; empty for the current folder.
pub fn project_folder(global: &Global) -> PathBuf {
    global.config.parent().map(Path::to_owned).unwrap_or_default()
}

/// Loads the configuration of one workspace.
///
/// # Errors
/// An invalid configuration, or one without this workspace.
pub fn load_workspace(global: &Global, name: &str) -> Result<Workspace, Error> {
    let mut workspace = Config::load(&global.config)?.workspace(name)?;
    if let Some(region) = &global.region {
        pb_rules::region::region(region).map_err(|why| {
            let hint = match why.suggestion() {
                Some(nearest) => format!("did you mean --region {nearest}?"),
                None => "use a region such as us-east-2".to_owned(),
            };
            Error::usage(format!("invalid region: {why}"), hint)
        })?;
        workspace.region.clone_from(region);
    }
    Ok(workspace)
}

/// Returns the AWS client configuration for one workspace.
///
/// # Errors
/// An unknown profile; an invalid endpoint, proxy, certificate or DNS setting; an endpoint on which nothing listens.
pub async fn connect(global: &Global, workspace: &Workspace) -> Result<SdkConfig, Error> {
    Ok(connection(global, workspace).await?.config().await)
}

/// Returns the checked settings for access to AWS for one workspace.
///
/// # Errors
/// The errors of [`connect`].
pub async fn connection(global: &Global, workspace: &Workspace) -> Result<Connection, Error> {
    let named = || std::env::var("AWS_ENDPOINT_URL").ok();
    if global.endpoint_url.clone().or_else(named).is_some_and(|url| url.trim().is_empty()) {
        let hint = "set a URL, or unset AWS_ENDPOINT_URL and omit --endpoint-url to use AWS";
        return Err(Error::usage("the endpoint URL is empty", hint));
    }
    public_dns::check()?;
    // No setting has a name or value that is not Unicode.
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let access = Access {
        profile: global.profile.clone(),
        region: workspace.region.clone(),
        endpoint_url: global.endpoint_url.clone(),
        environment: std::env::vars_os().filter_map(text).collect(),
    };
    let connection = Connection::read(&access).await?;
    connection.check_endpoints().await?;
    Ok(connection)
}

/// Loads one workspace with its AWS client configuration and its snapshot, and uses the recorded names. An unreadable
/// snapshot is not an error: the configured names are used instead.
///
/// # Errors
/// The errors of [`load_workspace`] and [`connect`]; a snapshot that belongs to another account or region.
pub async fn load_with_recorded_names(global: &Global, name: &str) -> Result<(Workspace, SdkConfig, Snapshot), Error> {
    let mut workspace = load_workspace(global, name)?;
    let aws = connect(global, &workspace).await?;
    let store = Store::new(&aws, &state_location(&workspace));
    let (snapshot, account) = tokio::join!(Session::read_only(&store), prerequisites::account(&aws, &workspace));
    let snapshot = snapshot.unwrap_or_default();
    account_region(&workspace, account.ok()).check(&snapshot, name)?;
    recorded_names::use_recorded_names(&mut workspace, &snapshot);
    Ok((workspace, aws, snapshot))
}

/// Returns the location of the state of a workspace.
pub fn state_location(workspace: &Workspace) -> StateLocation {
    StateLocation {
        bucket: workspace.state.bucket.clone(),
        key: workspace.names.state_key.clone(),
        table: workspace.state.lock_table.clone(),
        kms_key: workspace.state.kms_key.clone(),
        owner: Ownership { stack: workspace.stack.clone(), workspace: workspace.name.clone() },
    }
}

/// Returns the account and region of a run; the account only if it is known.
pub fn account_region(workspace: &Workspace, account: Option<String>) -> AccountRegion {
    AccountRegion { account, region: workspace.region.clone() }
}

/// Snapshot of one workspace, for runs that need neither prerequisites nor a graph.
pub struct StateContext {
    /// Store of the snapshot, with the account and region that a write records.
    pub store: Store,
    pub snapshot: Snapshot,
    pub account_region: AccountRegion,
}

impl StateContext {
    /// Reads the snapshot and the account of the credentials, concurrently.
    ///
    /// # Errors
    /// A snapshot that cannot be read, or that belongs to another account or region; credentials of an account that is
    /// not allowed.
    pub async fn open(aws: &SdkConfig, workspace: &Workspace) -> Result<Self, Failure> {
        let store = Store::new(aws, &state_location(workspace));
        let (snapshot, account) = tokio::join!(Session::read_only(&store), prerequisites::account(aws, workspace));
        let snapshot = snapshot?;
        account_region(workspace, account.as_ref().ok().cloned()).check(&snapshot, &workspace.name)?;
        let account_region = account_region(workspace, Some(account?));
        Ok(Self { store: store.at(account_region.clone()), snapshot, account_region })
    }
}

/// Returns the name in ECS of a configured service.
///
/// # Errors
/// `Usage` for a service that is not configured, with the configured services in the hint.
pub fn service_name(workspace: &Workspace, key: &str) -> Result<String, Error> {
    let known: Vec<&str> = workspace.services.all().map(|(key, _)| key).collect();
    let unknown = || {
        let hint = format!("configured services: {}", known.join(", "));
        Error::unknown_name(format!("{} has no service {key:?}", workspace.name), hint)
    };
    workspace.names.service(key).map(str::to_owned).ok_or_else(unknown)
}
