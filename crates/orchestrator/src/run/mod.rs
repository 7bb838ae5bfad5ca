//! Runs: the commands that change something, from the plan to the recorded outcome.

pub mod approval;
pub mod bootstrap;
pub mod checks;
pub mod earlier_releases;
pub mod finished;
pub mod interrupted;
pub mod missing_images;
pub mod outcome;
pub mod ownership;
pub mod pipeline;
pub mod refresh;
pub mod releases;
pub mod saved_plan;
pub mod service_change;
pub mod session;
pub mod stack_run;
pub mod wait;
