//! Typed access to recorded and observed resources.

use crate::model::failure::Failure;
use crate::model::observed::{Live, Observed};
use crate::model::plan::Step;
use crate::model::snapshot::Snapshot;
use crate::resource::contract::Resource;
use crate::resource::json::from_json;
use serde_json::Value;

/// A resource of the kind `R`, as it is recorded or as a read has found it.
pub struct Typed<R: Resource> {
    /// The spec.
    pub spec: R::Spec,
    /// The attributes that AWS assigned.
    pub attrs: R::Attrs,
    /// Set if the resource could be used.
    pub ready: bool,
}

impl<R: Resource> Typed<R> {
    fn new(spec: &Value, attrs: &Value, ready: bool) -> Result<Self, Failure> {
        Ok(Self { spec: from_json(R::KIND, spec)?, attrs: from_json(R::KIND, attrs)?, ready })
    }
}

impl Snapshot {
    /// Returns the record at `address`; `None` if there is none of the kind `R`.
    ///
    /// # Errors
    /// `Bug` if the record does not have the form of `R`.
    pub fn get<R: Resource>(&self, address: &str) -> Result<Option<Typed<R>>, Failure> {
        let record = self.resources.get(address).filter(|record| record.kind == R::KIND);
        record.map(|record| Typed::new(&record.spec, &record.attrs, record.ready)).transpose()
    }
}

impl Observed {
    /// Returns the first managed resource of the kind `R` at `address`.
    ///
    /// # Errors
    /// `Bug` if the resource does not have the form of `R`.
    pub fn get<R: Resource>(&self, address: &str) -> Result<Option<Typed<R>>, Failure> {
        self.managed
            .get(address)
            .into_iter()
            .flatten()
            .find(|live| live.kind == R::KIND)
            .map(Live::typed::<R>)
            .transpose()
    }
}

impl Live {
    /// Returns the resource with its types.
    ///
    /// # Errors
    /// `Bug` if the resource does not have the form of `R`.
    pub fn typed<R: Resource>(&self) -> Result<Typed<R>, Failure> {
        Typed::new(&self.spec, &self.attrs, self.ready)
    }
}

impl Step {
    /// Returns the desired spec.
    ///
    /// # Errors
    /// `Bug` if the step has none, or one that does not have the form of `R`.
    pub fn desired<R: Resource>(&self) -> Result<R::Spec, Failure> {
        from_json(R::KIND, self.after.as_ref().unwrap_or(&Value::Null))
    }
}
