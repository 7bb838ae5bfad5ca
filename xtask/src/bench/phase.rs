//! The phases that are measured with each tool.

/// A phase that is measured with each tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A plan of an empty account.
    PlanFromNothing,
    /// The first deploy.
    Deploy,
    /// A plan without changes.
    PlanWithoutChanges,
    /// A deploy that changes one field, which takes effect at once.
    Update,
    /// A destroy of everything.
    Destroy,
}

impl Phase {
    /// All phases in order.
    pub const ALL: [Self; 5] =
        [Self::PlanFromNothing, Self::Deploy, Self::PlanWithoutChanges, Self::Update, Self::Destroy];

    /// Returns the name of the phase in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::PlanFromNothing => "plan from nothing",
            Self::Deploy => "deploy",
            Self::PlanWithoutChanges => "no-change plan",
            Self::Update => "one-field update",
            Self::Destroy => "destroy",
        }
    }

    /// Returns the expected exit code, which is the same for both tools: a plan with changes exits with 2.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::PlanFromNothing => 2,
            Self::Deploy | Self::PlanWithoutChanges | Self::Update | Self::Destroy => 0,
        }
    }
}
