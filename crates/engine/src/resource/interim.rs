//! Interim specs, which a resource has before its desired spec.

/// A spec that a resource has temporarily, before its desired spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interim<S> {
    /// The interim spec.
    pub spec: S,
    /// The other resources whose changes must be done before the desired spec applies.
    pub until: Awaited,
}

/// The other resources whose changes an interim spec waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The dependents of the resource. If none of them changes, there is no interim spec.
    Dependents,
    /// The dependents of one kind, until they have their desired specs. If none of them changes, there is no interim
    /// spec.
    DependentsOfKind(&'static str),
    /// All other resources of the same kind. If none of them changes, there is no interim spec.
    Peers,
}
