//! The resources of a workspace, as a read has found them.

use crate::model::address::Address;
use crate::model::check::Checked;
use crate::model::snapshot::Snapshot;
use crate::model::unmanaged::{Obstacle, Unmanaged};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The ids in AWS of existing resources that are to be imported, by address.
pub type Imports = BTreeMap<Address, String>;

/// A managed resource that a read has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// The kind of the resource.
    pub kind: String,
    /// The live spec.
    pub spec: Value,
    /// The attributes that AWS assigned.
    pub attrs: Value,
    /// Set if the resource can be used.
    #[serde(rename = "settled")]
    pub ready: bool,
}

/// A recorded resource that has lost its ownership tags. The resource is unmanaged until the tags are restored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Untagged {
    /// The kind of the resource.
    pub kind: String,
    /// The attributes that AWS assigned.
    pub attrs: Value,
    /// The id with which the resource can be imported again.
    #[serde(rename = "claim")]
    pub import_id: String,
}

/// The resources of a workspace that a read has found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Managed resources by address. An interrupted replacement can leave several resources at one address.
    #[serde(rename = "ours")]
    pub managed: BTreeMap<Address, Vec<Live>>,
    /// Unmanaged resources that have the name of a configured resource, by the address of the configured resource.
    #[serde(rename = "foreign")]
    pub unmanaged: BTreeMap<Address, Unmanaged>,
    /// The results of the checks that were read.
    #[serde(default)]
    pub checks: BTreeMap<Address, Checked>,
    /// Recorded resources without ownership tags, by the address of the record.
    #[serde(default)]
    pub untagged: BTreeMap<Address, Untagged>,
    /// Obstacles, by the address of the resource that they keep from its purpose.
    #[serde(default)]
    pub obstacles: BTreeMap<Address, Vec<Obstacle>>,
}

impl Observed {
    /// Removes untagged and unmanaged resources that an unfinished run may have just created, because their tags may
    /// not be visible yet.
    pub fn ignore_recent(&mut self, snapshot: &Snapshot) {
        self.untagged.retain(|address, _| !snapshot.is_recent(address));
        self.unmanaged.retain(|address, _| !snapshot.has_unconfirmed_create(address));
    }
}
