//! What is measured of each tool, in this order.

/// A phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A plan where nothing is.
    PlanFromNothing,
    /// The first deploy.
    Deploy,
    /// A plan that finds nothing to do.
    PlanWithoutChanges,
    /// A deploy of one field that nothing waits for.
    Update,
    /// Everything is removed.
    Destroy,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 5] =
        [Self::PlanFromNothing, Self::Deploy, Self::PlanWithoutChanges, Self::Update, Self::Destroy];

    /// As the report has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PlanFromNothing => "plan from nothing",
            Self::Deploy => "deploy",
            Self::PlanWithoutChanges => "no-change plan",
            Self::Update => "one-field update",
            Self::Destroy => "destroy",
        }
    }

    /// The exit code of both tools; their plans tell by it whether there is something to do.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::PlanFromNothing => 2,
            Self::Deploy | Self::PlanWithoutChanges | Self::Update | Self::Destroy => 0,
        }
    }
}
