//! Local runs of a workspace without AWS: its task definitions as processes, with a real queue.

pub mod build_source;
pub mod dockerfile;
pub mod process;
pub mod programs;
