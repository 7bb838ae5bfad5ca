//! Size of a task definition, as ECS counts it.

use super::TaskDefinitionSpec;
use crate::tags::Tags;
use pb_rules::task_definition::{ADDED_BY_ECS, container_size};
use std::collections::BTreeMap;

/// Returns the number of bytes of a task definition: its fields as JSON, without the tags, and a reserve for what ECS
/// adds.
pub(super) fn size(spec: &TaskDefinitionSpec) -> usize {
    let mut rest = TaskDefinitionSpec { tags: Tags::new(), ..spec.clone() };
    let mut containers = 0;
    for container in rest.containers.values_mut() {
        let (environment, secrets) =
            (std::mem::take(&mut container.environment), std::mem::take(&mut container.secrets));
        let command = std::mem::take(&mut container.command);
        containers += container_size(pairs(&environment), pairs(&secrets), command.iter().map(String::as_str));
    }
    containers + serde_json::to_string(&rest).map_or(0, |text| text.len()) + ADDED_BY_ECS
}

fn pairs(map: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    map.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}
