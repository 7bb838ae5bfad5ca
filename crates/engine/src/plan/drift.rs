//! Drift: differences between AWS and the snapshot, regardless of the configuration.

use crate::model::address::Address;
use crate::model::diff::{Change, diff, is_at_or_below, unset_fields};
use crate::model::observed::{Live, Observed};
use crate::model::snapshot::{Record, Snapshot};
use crate::resource::graph::Graph;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A difference between a resource in AWS and the snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// The address of the resource.
    pub address: Address,
    /// The kind of the resource.
    pub kind: String,
    /// The id that AWS assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The way in which the resource has drifted.
    pub what: DriftKind,
    /// The changed fields, each with its recorded and its live value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

/// The ways in which a resource can have drifted since the last run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftKind {
    /// Some fields were changed.
    Changed,
    /// The resource was deleted.
    Deleted,
    /// The resource has lost its ownership tags.
    Untagged,
    /// The resource carries the ownership tags but is not recorded: it is newer than the snapshot, or somebody copied
    /// the tags to it.
    Appeared,
}

/// Returns the drift of all resources since the last run. Changes made by an unfinished run are not drift, and neither
/// are differences in ignored fields, and in optional fields without a desired value.
#[must_use]
pub fn drift(graph: &Graph, observed: &Observed, snapshot: &Snapshot) -> Vec<Drift> {
    let mut drifts = Vec::new();
    let specs: BTreeMap<Address, Value> = graph.specs().unwrap_or_default().into_iter().collect();
    for (address, record) in &snapshot.resources {
        let id = |attrs| graph.kinds.get(record.kind.as_str()).and_then(|kind| kind.id(attrs));
        let item = |what, id, changes| Drift { address: address.clone(), kind: record.kind.clone(), id, what, changes };
        match recorded_live(observed, address, record) {
            None if observed.untagged.contains_key(address) => {
                drifts.push(item(DriftKind::Untagged, id(&record.attrs), Vec::new()));
            }
            None if record.ready => drifts.push(item(DriftKind::Deleted, id(&record.attrs), Vec::new())),
            None => {}
            Some(live) => {
                let optional =
                    graph.kinds.get(record.kind.as_str()).map_or(&[] as &[&str], |kind| kind.optional_fields());
                let unset = specs.get(address).map(|spec| unset_fields(spec, optional)).unwrap_or_default();
                let changes = drifted_fields(graph, address, record, live, &unset);
                if !changes.is_empty() {
                    drifts.push(item(DriftKind::Changed, id(&live.attrs), changes));
                }
            }
        }
    }
    let begun = |address: &Address| {
        let mut steps = snapshot.intents.iter().flat_map(|intents| &intents.steps);
        steps.any(|step| step.address == *address)
    };
    let unrecorded = observed.managed.iter().filter(|(address, _)| !snapshot.resources.contains_key(*address));
    for (address, live) in
        unrecorded.filter(|(address, _)| !begun(address)).flat_map(|(a, all)| all.iter().map(move |l| (a, l)))
    {
        drifts.push(Drift {
            address: address.clone(),
            kind: live.kind.clone(),
            id: graph.kinds.get(live.kind.as_str()).and_then(|kind| kind.id(&live.attrs)),
            what: DriftKind::Appeared,
            changes: Vec::new(),
        });
    }
    drifts
}

/// Returns the live resource that corresponds to a record. If several resources have the address of the record, the one
/// with the recorded attributes is preferred.
pub(crate) fn recorded_live<'a>(observed: &'a Observed, address: &Address, record: &Record) -> Option<&'a Live> {
    let found = observed.managed.get(address)?.iter().filter(|live| live.kind == record.kind);
    found.min_by_key(|live| live.attrs != record.attrs)
}

/// Returns new records for the resources of which a revision other than the recorded one is in use. This is not drift,
/// but a refresh stores these records together with the drift of the resources that use the revisions.
#[must_use]
pub fn other_revisions(graph: &Graph, observed: &Observed, snapshot: &Snapshot) -> Vec<(Address, Record)> {
    let editions = snapshot.resources.iter().filter_map(|(address, record)| {
        let live = recorded_live(observed, address, record).filter(|live| is_other_revision(graph, record, live))?;
        let (kind, spec, attrs) = (live.kind.clone(), live.spec.clone(), live.attrs.clone());
        Some((address.clone(), Record { kind, spec, attrs, ready: live.ready }))
    });
    editions.collect()
}

/// Returns whether `live` is a revision other than the recorded one. If so, the record says nothing about `live`.
pub(crate) fn is_other_revision(graph: &Graph, record: &Record, live: &Live) -> bool {
    let kind = graph.kinds.get(record.kind.as_str());
    record.kind == live.kind && kind.is_some_and(|kind| kind.is_other_revision(&record.attrs, &live.attrs))
}

/// Returns the fields in which `live` differs from its record. Ignores fields that an older version of pb-deploy did
/// not record, the `unset` fields, and all fields of another revision.
pub(crate) fn drifted_fields(
    graph: &Graph,
    address: &Address,
    record: &Record,
    live: &Live,
    unset: &[&str],
) -> Vec<Change> {
    if !record.ready || is_other_revision(graph, record, live) {
        return Vec::new();
    }
    let kind = graph.kinds.get(record.kind.as_str());
    let recorded = kind.map_or(Cow::Borrowed(&record.spec), |kind| kind.redacted(&record.spec));
    let mut changes = diff(&recorded, &live.spec);
    let ignored = graph.ignored(address);
    let observed = kind.map_or(&[] as &[&str], |kind| kind.read_only_fields());
    changes.retain(|change| !observed.contains(&change.field()) && !unset.contains(&change.field()));
    changes.retain(|change| {
        record.spec.get(change.field()).is_some() && !ignored.iter().any(|path| is_at_or_below(&change.path, path))
    });
    changes
}

#[cfg(test)]
mod tests {
    use super::{DriftKind, drift, other_revisions};
    use crate::model::address::Address;
    use crate::model::diff::Change;
    use crate::model::failure::Failure;
    use crate::model::goal::{Goal, PlanScope};
    use crate::model::observed::{Live, Observed};
    use crate::model::plan::{Action, Origin};
    use crate::model::snapshot::{Record, Snapshot};
    use crate::plan::planner::compute_plan;
    use crate::resource::context::Context;
    use crate::resource::contract::{Found, ReadScope, Resource};
    use crate::resource::graph::Graph;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    /// A resource kind with coexisting revisions, whose attributes consist of the revision number.
    struct Edition;

    impl Resource for Edition {
        const KIND: &'static str = "test.edition";
        type Spec = BTreeMap<String, String>;
        type Attrs = u32;

        fn planned_attrs(_: &Self::Spec) -> u32 {
            0
        }

        fn id(edition: &u32) -> Option<String> {
            Some(edition.to_string())
        }

        fn is_other_revision(recorded: &u32, found: &u32) -> bool {
            recorded != found
        }

        async fn read(&self, _: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
            Ok(Vec::new())
        }

        async fn create(&self, _: &Context, _: &Self::Spec) -> Result<u32, Failure> {
            Ok(1)
        }

        async fn update(&self, _: &Context, edition: &u32, _: &Self::Spec, _: &[Change]) -> Result<u32, Failure> {
            Ok(edition + 1)
        }

        async fn delete(&self, _: &Context, _: &u32) -> Result<(), Failure> {
            Ok(())
        }
    }

    /// A resource kind with an optional field, `mode`.
    struct Hardenable;

    impl Resource for Hardenable {
        const KIND: &'static str = "test.hardenable";
        const OPTIONAL_FIELDS: &'static [&'static str] = &["mode"];
        type Spec = BTreeMap<String, Option<String>>;
        type Attrs = ();

        fn planned_attrs(_: &Self::Spec) {}

        fn requires_replacement(field: &str) -> bool {
            field == "name"
        }

        fn id((): &()) -> Option<String> {
            None
        }

        async fn read(&self, _: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
            Ok(Vec::new())
        }

        async fn create(&self, _: &Context, _: &Self::Spec) -> Result<(), Failure> {
            Ok(())
        }

        async fn update(&self, _: &Context, (): &(), _: &Self::Spec, _: &[Change]) -> Result<(), Failure> {
            Ok(())
        }

        async fn delete(&self, _: &Context, (): &()) -> Result<(), Failure> {
            Ok(())
        }
    }

    /// Returns the drift, the planned action and the planned mode of a resource with the live mode `strict`.
    fn plan_of_mode(recorded: Value, name: &str, mode: Option<&str>) -> (Vec<DriftKind>, Action, Value) {
        let spec = |name: &str, mode: Option<&str>| {
            BTreeMap::from([("name".to_owned(), Some(name.to_owned())), ("mode".to_owned(), mode.map(str::to_owned))])
        };
        let (mut graph, desired) = (Graph::new(), spec(name, mode));
        let kind = graph.kind(Hardenable);
        graph.add("a/b", &kind, (), move |()| desired.clone()).unwrap();
        let kind = Hardenable::KIND.to_owned();
        let live = json!({"name": "n", "mode": "strict"});
        let live = Live { kind: kind.clone(), spec: live, attrs: Value::Null, ready: true };
        let record = Record { kind, spec: json!({"name": "n", "mode": recorded}), attrs: Value::Null, ready: true };
        let at = Address::new("a/b").unwrap();
        let observed = Observed { managed: [(at.clone(), vec![live])].into(), ..Observed::default() };
        let snapshot = Snapshot { resources: [(at, record)].into(), ..Snapshot::default() };
        let drifts = drift(&graph, &observed, &snapshot).into_iter().map(|drift| drift.what).collect();
        let plan = compute_plan(&graph, &observed, &snapshot, Goal::Deploy, &PlanScope::default()).unwrap().unwrap();
        (drifts, plan.steps[0].action, plan.steps[0].after.clone().unwrap_or_default()["mode"].clone())
    }

    #[test]
    fn optional_field_without_desired_value_is_left_alone() {
        for recorded in [Value::Null, json!("loose"), json!("strict")] {
            assert_eq!(plan_of_mode(recorded, "n", None), (Vec::new(), Action::NoOp, json!("strict")));
        }
        let (drifts, action, mode) = plan_of_mode(json!("loose"), "n", Some("loose"));
        assert_eq!((drifts, action, mode), (vec![DriftKind::Changed], Action::Update, json!("loose")));
        let (_, action, mode) = plan_of_mode(json!("loose"), "other", None);
        assert!(matches!(action, Action::Replace { .. }) && mode == "strict", "the new resource gets the live value");
    }

    fn image(image: &str) -> Value {
        json!({ "image": image })
    }

    /// Returns the drift, the planned action and the origin of the change, given a live revision, a recorded revision
    /// and a desired image.
    fn plan_of_revision(
        found: (u32, &str),
        recorded: (u32, &str),
        desired: &str,
    ) -> (Vec<DriftKind>, Action, Option<Origin>) {
        let mut graph = Graph::new();
        let (kind, desired) = (graph.kind(Edition), desired.to_owned());
        graph.add("a/b", &kind, (), move |()| BTreeMap::from([("image".to_owned(), desired.clone())])).unwrap();
        let kind = Edition::KIND.to_owned();
        let live = Live { kind: kind.clone(), spec: image(found.1), attrs: found.0.into(), ready: true };
        let record = Record { kind, spec: image(recorded.1), attrs: recorded.0.into(), ready: true };
        let at = Address::new("a/b").unwrap();
        let observed = Observed { managed: [(at.clone(), vec![live])].into(), ..Observed::default() };
        let snapshot = Snapshot { resources: [(at, record)].into(), ..Snapshot::default() };
        let editions = other_revisions(&graph, &observed, &snapshot);
        let expected = (found.0 != recorded.0).then(|| image(found.1));
        assert_eq!(editions.into_iter().map(|(_, record)| record.spec).next(), expected);
        let drifts = drift(&graph, &observed, &snapshot).into_iter().map(|drift| drift.what).collect();
        let plan = compute_plan(&graph, &observed, &snapshot, Goal::Deploy, &PlanScope::default()).unwrap().unwrap();
        (drifts, plan.steps[0].action, plan.steps[0].origin)
    }

    #[test]
    fn other_revision_in_use_is_no_drift() {
        assert_eq!(
            plan_of_revision((1, "old"), (1, "new"), "new"),
            (vec![DriftKind::Changed], Action::Update, Some(Origin::Drift))
        );
        assert_eq!(plan_of_revision((1, "old"), (2, "new"), "old"), (Vec::new(), Action::NoOp, None));
        // Neither the configuration nor AWS has changed.
        assert_eq!(plan_of_revision((1, "old"), (2, "new"), "new"), (Vec::new(), Action::Update, None));
        assert_eq!(
            plan_of_revision((1, "old"), (2, "new"), "newer"),
            (Vec::new(), Action::Update, Some(Origin::Configuration))
        );
    }
}
