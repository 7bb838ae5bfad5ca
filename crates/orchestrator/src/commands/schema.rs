//! `schema`: prints the JSON schemas of the configuration, of saved plans and of JSON output.

use crate::cli::SchemaOf;
use crate::exit::{Error, Exit};
use crate::output::console;

/// The schema of a saved plan, which is also the output of `plan --json`.
const PLAN: &str = include_str!("../../../../docs/schema/plan.json");

/// The schema of the events that a run prints with `--json`.
const EVENTS: &str = include_str!("../../../../docs/schema/events.json");
/// The schemas of the documents that queries print with `--json`.
const DOCUMENTS: &str = include_str!("../../../../docs/schema/documents.json");

/// Writes a schema to stdout.
///
/// # Errors
/// A schema that cannot be written.
pub fn schema(of: SchemaOf) -> Result<Exit, Error> {
    match of {
        SchemaOf::Config => console::document(&pb_config::schema()?)?,
        SchemaOf::Plan => console::print_text(PLAN),
        SchemaOf::Events => console::print_text(EVENTS),
        SchemaOf::Documents => console::print_text(DOCUMENTS),
    }
    Ok(Exit::Done)
}
