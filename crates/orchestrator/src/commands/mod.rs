//! The commands, one a file.

mod adopt;
mod apply;
mod bootstrap;
mod doctor;
mod drift;
mod exec;
mod format;
mod graph;
mod init;
mod local;
mod logs;
mod missing;
mod one_off;
mod plan;
mod query;
mod refresh;
mod run;
mod schema;
mod state;
mod state_edit;
mod status;
mod tasks;

use crate::cli::{Cli, Command, LocalCommand, Selection, StateCommand, WorkspaceCommand};
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
        Command::Plan { workspace, out, detailed_exitcode, destroy, selection, markdown, images } => {
            let goal = if destroy { Goal::Destroy } else { Goal::Deploy };
            let asked = Asked { images: images.given(), selection, ..Asked::default() };
            let wanted = plan::Wanted { out, detailed_exitcode, markdown };
            plan::plan(global, &workspace, goal, &asked, &wanted).await
        }
        Command::Deploy { workspace, selection, consent, images, wait } => {
            let asked = Asked { images: images.given(), wait, selection, ..Asked::default() };
            run::run(global, &workspace, Goal::Deploy, &consent, &asked).await
        }
        Command::Destroy { workspace, targets, consent } => {
            let selection = Selection { targets, ..Selection::default() };
            let asked = Asked { selection, ..Asked::default() };
            run::run(global, &workspace, Goal::Destroy, &consent, &asked).await
        }
        Command::Bootstrap { workspace, zone, consent } => {
            bootstrap::bootstrap(global, &workspace, zone, &consent).await
        }
        Command::Doctor { workspace } => doctor::doctor(global, &workspace).await,
        Command::Adopt { workspace, adoption } => adopt::adopt(global, &workspace, &adoption).await,
        Command::Forget { workspace, addresses, consent, dry_run } => {
            adopt::forget(global, &workspace, &addresses, &consent, dry_run).await
        }
        Command::Drift { workspace } => drift::drift(global, &workspace).await,
        Command::Graph { workspace, format } => graph::graph(global, &workspace, format).await,
        Command::Apply { file, consent } => apply::apply(global, &file, &consent).await,
        Command::Show { file, markdown } => plan::show(global, &file, markdown),
        Command::Status { workspace } => status::status(global, &workspace).await,
        Command::Output { workspace, name } => query::output(global, &workspace, name.as_deref()).await,
        Command::Workspace { command: WorkspaceCommand::List } => query::workspaces(global),
        Command::State { command } => match command {
            StateCommand::List { workspace } => state::list(global, &workspace).await,
            StateCommand::Show { workspace, address } => state::show(global, &workspace, address.as_deref()).await,
            StateCommand::Pull { workspace } => state::pull(global, &workspace).await,
            StateCommand::Push { workspace, file, force, consent } => {
                state_edit::push(global, &workspace, &file, force, &consent).await
            }
            StateCommand::Rm { workspace, addresses, consent } => {
                state_edit::remove(global, &workspace, &addresses, &consent).await
            }
            StateCommand::Versions { workspace } => state::versions(global, &workspace).await,
            StateCommand::Restore { workspace, version, consent } => {
                state::restore(global, &workspace, &version, &consent).await
            }
        },
        Command::Unlock { workspace, id } => query::unlock(global, &workspace, &id).await,
        Command::Logs { workspace, service, options } => {
            logs::logs(global, &workspace, service.as_deref(), &options).await
        }
        Command::Tasks { workspace } => tasks::tasks(global, &workspace).await,
        Command::Exec { workspace, service, task, command } => {
            exec::exec(global, &workspace, &service, task.as_deref(), &command).await
        }
        Command::Run { workspace, service, command } => one_off::run(global, &workspace, &service, &command).await,
        Command::Local { command: LocalCommand::Up { workspace, options } } => {
            local::up(global, &workspace, &options).await
        }
        Command::Validate => query::validate(global),
        Command::Init(first) => init::init(global, &first),
        Command::Schema { of } => schema::schema(of),
        Command::Fmt { check } => format::format(global, check),
    }
}
