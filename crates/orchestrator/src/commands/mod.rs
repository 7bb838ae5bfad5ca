//! The commands, one a file.

mod apply;
mod missing;
mod plan;
mod query;
mod run;
mod state;
mod status;

use crate::cli::{Cli, Command, StateCommand, WorkspaceCommand};
use crate::exit::{Error, Exit};
use crate::site::Asked;
use pb_engine::Goal;

/// Does what the command line says.
///
/// # Errors
/// Whatever keeps the command from an answer; nothing was said about it yet.
pub async fn dispatch(cli: Cli) -> Result<Exit, Error> {
    let global = &cli.global;
    match cli.command {
        Command::Plan { workspace, out, detailed_exitcode, destroy, images } => {
            let goal = if destroy { Goal::Destroy } else { Goal::Deploy };
            plan::plan(global, &workspace, goal, out.as_deref(), detailed_exitcode, images.given()).await
        }
        Command::Deploy { workspace, consent, images, wait } => {
            let asked = Asked { images: images.given(), wait };
            run::run(global, &workspace, Goal::Deploy, &consent, &asked).await
        }
        Command::Destroy { workspace, consent } => {
            run::run(global, &workspace, Goal::Destroy, &consent, &Asked::default()).await
        }
        Command::Apply { file } => apply::apply(global, &file).await,
        Command::Show { file } => plan::show(global, &file),
        Command::Status { workspace } => status::status(global, &workspace).await,
        Command::Output { workspace, name } => query::output(global, &workspace, name.as_deref()).await,
        Command::Workspace { command: WorkspaceCommand::List } => query::workspaces(global),
        Command::State { command } => match command {
            StateCommand::Show { workspace } => query::state(global, &workspace).await,
            StateCommand::Versions { workspace } => state::versions(global, &workspace).await,
            StateCommand::Restore { workspace, version, consent } => {
                state::restore(global, &workspace, &version, &consent).await
            }
        },
        Command::Unlock { workspace, id } => query::unlock(global, &workspace, &id).await,
        Command::Validate => query::validate(global),
    }
}
