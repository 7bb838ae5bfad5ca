//! Tasks that no service starts, and the tasks and logs of services as shown to operators.

pub(crate) mod logs;
pub(crate) mod one_off;
pub(crate) mod stopped;
pub(crate) mod task_client;
