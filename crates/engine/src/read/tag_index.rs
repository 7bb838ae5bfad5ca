//! A tag index, and the conditions under which its entries are trusted.

use crate::model::ownership::Ownership;
use crate::model::snapshot::{Record, Snapshot};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Tags by key.
type Tags = BTreeMap<String, String>;

/// The tags of all resources that carry the ownership tags of a workspace, by ARN, from an index that the AWS services
/// update. It saves one call per resource.
///
/// # Caveats
///
/// Such an index can lag behind the services by several minutes. An entry is trusted if it matches the snapshot. The
/// absence of other resources is trusted if the entries of all recorded resources match. In all other cases, the tags
/// are requested from the services themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagIndex(BTreeMap<String, Tags>);

impl FromIterator<(String, Tags)> for TagIndex {
    fn from_iter<I: IntoIterator<Item = (String, Tags)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

/// The entries of an index that match a snapshot.
#[derive(Debug, Default)]
pub(crate) struct TrustedTags {
    /// The matching tags, by ARN.
    tags: BTreeMap<String, Tags>,
    /// The ARNs of the entries that do not match.
    others: BTreeSet<String>,
    /// Set if the index has a matching entry for every recorded resource that it should contain.
    complete: bool,
}

impl TrustedTags {
    /// Compares an index with the records. `is_indexed` returns whether the index contains resources of a kind. No entry
    /// is trusted if the last run is unfinished.
    pub(crate) fn new(
        index: Option<&TagIndex>,
        is_indexed: impl Fn(&str) -> bool,
        snapshot: &Snapshot,
        owner: &Ownership,
    ) -> Self {
        let Some(TagIndex(index)) = index.filter(|_| snapshot.intents.is_none()) else { return Self::default() };
        let mut trusted = Self { complete: !snapshot.resources.is_empty(), ..Self::default() };
        for (address, record) in &snapshot.resources {
            let Some((arn, tags)) = recorded_tags(record).filter(|_| is_indexed(&record.kind)) else { continue };
            match index.get(&arn) {
                Some(indexed)
                    if Ownership::user_tags(indexed) == tags
                        && owner.address_from_tags(indexed).as_ref() == Some(address) =>
                {
                    trusted.tags.insert(arn, indexed.clone());
                }
                _ => trusted.complete = false,
            }
        }
        trusted.others = index.keys().filter(|arn| !trusted.tags.contains_key(*arn)).cloned().collect();
        trusted
    }

    /// Returns the tags of the resource with this ARN: its trusted tags, or no tags if the index rules out that it
    /// carries ownership tags. Returns `None` if the tags must be requested from the service.
    fn tags(&self, arn: &str) -> Option<Tags> {
        let nothing = || (self.complete && !self.others.contains(arn)).then(Tags::new);
        self.tags.get(arn).cloned().or_else(nothing)
    }

    /// Returns whether the index rules out that there is an unrecorded managed resource for whose ARN `is` returns
    /// true.
    pub(crate) fn is_complete(&self, is: impl Fn(&str) -> bool) -> bool {
        self.complete && !self.others.iter().any(|arn| is(arn))
    }

    /// Returns the known tags of these ARNs, and the ARNs whose tags must be requested from the service.
    pub(crate) fn split(&self, arns: impl IntoIterator<Item = String>) -> (HashMap<String, Tags>, Vec<String>) {
        let (mut known, mut unknown) = (HashMap::new(), Vec::new());
        for arn in arns {
            match self.tags(&arn) {
                Some(tags) => drop(known.insert(arn, tags)),
                None => unknown.push(arn),
            }
        }
        (known, unknown)
    }
}

/// Returns the ARN and the tags of a record.
fn recorded_tags(record: &Record) -> Option<(String, Tags)> {
    let arn = record.attrs.get("arn")?.as_str()?.to_owned();
    Some((arn, Tags::deserialize(record.spec.get("tags")?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::{TagIndex, Tags, TrustedTags};
    use crate::model::address::Address;
    use crate::model::diff::Change;
    use crate::model::failure::Failure;
    use crate::model::ownership::Ownership;
    use crate::model::snapshot::{Intents, Record, Snapshot};
    use crate::resource::context::Context;
    use crate::resource::contract::{Found, ReadScope, Resource};
    use crate::resource::graph::Graph;
    use serde_json::json;

    /// A resource kind that the index does or does not contain, depending on `TAG_INDEXED`.
    struct Thing<const TAG_INDEXED: bool>;

    impl<const TAG_INDEXED: bool> Resource for Thing<TAG_INDEXED> {
        const KIND: &'static str = if TAG_INDEXED { "test.indexed" } else { "test.other" };
        const TAG_INDEXED: bool = TAG_INDEXED;
        type Spec = Tags;
        type Attrs = String;

        fn planned_attrs(_: &Tags) -> String {
            String::new()
        }

        fn id(_: &String) -> Option<String> {
            None
        }

        async fn read(&self, _: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
            Ok(Vec::new())
        }

        async fn create(&self, _: &Context, _: &Tags) -> Result<String, Failure> {
            Ok(String::new())
        }

        async fn update(&self, _: &Context, arn: &String, _: &Tags, _: &[Change]) -> Result<String, Failure> {
            Ok(arn.clone())
        }

        async fn delete(&self, _: &Context, _: &String) -> Result<(), Failure> {
            Ok(())
        }
    }

    fn owner() -> Ownership {
        Ownership { stack: "s".to_owned(), workspace: "w".to_owned() }
    }

    fn address(name: &str) -> Address {
        Address::new(name).unwrap()
    }

    fn plain() -> Tags {
        Tags::from([("Name".to_owned(), "x".to_owned())])
    }

    /// Returns a snapshot of two resources of a kind that the index contains, and of one resource of a kind that it
    /// does not contain.
    fn snapshot() -> Snapshot {
        let record = |kind: &str, arn: &str| Record {
            kind: kind.to_owned(),
            spec: json!({ "tags": plain() }),
            attrs: json!({ "arn": arn }),
            ready: true,
        };
        let resources = [("a/one", "test.indexed"), ("a/two", "test.indexed"), ("a/three", "test.other")];
        let resources = resources.map(|(at, kind)| (address(at), record(kind, &format!("arn:{at}"))));
        Snapshot { resources: resources.into(), ..Snapshot::default() }
    }

    /// Returns the entries of an index that is up to date.
    fn full() -> Vec<(String, Tags)> {
        let tags = |at: &str| (format!("arn:{at}"), owner().tags(&address(at), &plain()));
        vec![tags("a/one"), tags("a/two")]
    }

    fn trusted(index: Vec<(String, Tags)>, snapshot: &Snapshot) -> TrustedTags {
        let mut graph = Graph::new();
        graph.kind(Thing::<true>);
        graph.kind(Thing::<false>);
        let index = index.into_iter().collect::<TagIndex>();
        TrustedTags::new(Some(&index), |kind| graph.is_tag_indexed(kind), snapshot, &owner())
    }

    fn requested(trusted: &TrustedTags) -> Vec<String> {
        trusted.split(["arn:a/one", "arn:a/two", "arn:strange"].map(str::to_owned)).1
    }

    #[test]
    fn tag_index_that_matches_all_records_answers_for_all_arns() {
        let trusted = trusted(full(), &snapshot());
        let (known, unknown) = trusted.split(["arn:a/one", "arn:strange"].map(str::to_owned));
        assert_eq!(known["arn:a/one"], owner().tags(&address("a/one"), &plain()));
        assert_eq!((&known["arn:strange"], unknown.len()), (&Tags::new(), 0), "it has no ownership tags");
        assert!(trusted.is_complete(|_| true));
    }

    #[test]
    fn tag_index_ignores_tags_of_aws_itself() {
        let mut index = full();
        index[0].1.insert("aws:cloudformation:stack-name".to_owned(), "x".to_owned());
        assert!(requested(&trusted(index, &snapshot())).is_empty());
    }

    #[test]
    fn tag_index_mismatch_or_unknown_arn_falls_back_to_the_api() {
        type Wrong = fn(&mut Vec<(String, Tags)>);
        let wrongs: [Wrong; 4] = [
            |index| drop(index.remove(0)),
            |index| drop(index[0].1.insert("Name".to_owned(), "other".to_owned())),
            |index| drop(index[0].1.insert("pb-deploy:address".to_owned(), "a/two".to_owned())),
            |index| drop(index[0].1.remove("pb-deploy:workspace")),
        ];
        for (number, wrong) in wrongs.into_iter().enumerate() {
            let mut index = full();
            wrong(&mut index);
            let trusted = trusted(index, &snapshot());
            assert_eq!(requested(&trusted), ["arn:a/one", "arn:strange"], "{number}");
            assert!(!trusted.is_complete(|_| false), "{number}");
        }
    }

    #[test]
    fn tag_index_with_unrecorded_arn_is_not_complete() {
        let mut index = full();
        index.push(("arn:strange".to_owned(), owner().tags(&address("a/lost"), &plain())));
        let trusted = trusted(index, &snapshot());
        assert_eq!(requested(&trusted), ["arn:strange"]);
        assert!(!trusted.is_complete(|arn| arn == "arn:strange") && trusted.is_complete(|arn| arn == "arn:a/one"));
    }

    #[test]
    fn tag_index_is_unused_without_snapshot_or_with_open_intents() {
        let intents = Intents {
            plan: "p".to_owned(),
            operation: crate::model::operation::Operation::Deploy,
            steps: Vec::new(),
            written: false,
        };
        for snapshot in [Snapshot::default(), Snapshot { intents: Some(intents), ..snapshot() }] {
            let trusted = trusted(full(), &snapshot);
            assert_eq!(requested(&trusted).len(), 3);
            assert!(!trusted.is_complete(|_| false));
        }
    }
}
