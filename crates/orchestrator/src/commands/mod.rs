//! The commands, one a file.

mod adopt;
mod agreed;
mod apply;
mod bootstrap;
mod change;
mod conclude;
mod doctor;
mod drift;
mod exec;
mod format;
mod graph;
mod history;
mod init;
mod interrupted;
mod local;
mod logs;
mod missing;
mod one_off;
mod plan;
mod query;
mod refresh;
mod run;
mod schema;
mod second_day;
mod state;
mod state_edit;
mod status;
mod tasks;
mod unserved;
mod verify;

use crate::cli::{
    Acceptance, Cli, Command, Global, LocalCommand, Selection, StateCommand, WaitOptions, WorkspaceCommand,
};
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
        Command::Deploy { workspace, selection, consent, acceptance, images, wait, on_interrupt } => {
            let Acceptance { accept_changed_plan } = acceptance;
            let images = images.given();
            let asked = Asked { images, wait, selection, on_interrupt, accept_changed_plan, ..Asked::default() };
            run::run(global, &workspace, Goal::Deploy, &consent, &asked).await
        }
        Command::Destroy { workspace, targets, consent, acceptance } => {
            let selection = Selection { targets, ..Selection::default() };
            let Acceptance { accept_changed_plan } = acceptance;
            let asked = Asked { selection, accept_changed_plan, ..Asked::default() };
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
        Command::Status { workspace, watch } => status::status(global, &workspace, watch).await,
        Command::History { workspace } => history::history(global, &workspace).await,
        Command::Rollback { workspace, revision, consent, wait } => {
            second_day::rollback(global, &workspace, revision.as_deref(), &consent, &wait).await
        }
        Command::Restart { workspace, services, consent, wait } => {
            second_day::restart(global, &workspace, &services, &consent, &wait).await
        }
        Command::Scale { workspace, counts, consent, wait } => {
            second_day::scale(global, &workspace, &counts, &consent, &wait).await
        }
        Command::Wait { workspace, wait_timeout } => {
            second_day::wait(global, &workspace, &WaitOptions { wait_timeout, no_wait: false }).await
        }
        Command::Output { workspace, name } => query::output(global, &workspace, name.as_deref()).await,
        Command::Workspace { command: WorkspaceCommand::List } => query::workspaces(global),
        Command::State { command } => state_command(global, command).await,
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

/// What is done with the snapshot of a workspace.
async fn state_command(global: &Global, command: StateCommand) -> Result<Exit, Error> {
    match command {
        StateCommand::List { workspace } => state::list(global, &workspace).await,
        StateCommand::Show { workspace, address } => state::show(global, &workspace, address.as_deref()).await,
        StateCommand::Pull { workspace } => state::pull(global, &workspace).await,
        StateCommand::Push { workspace, file, force, consent } => {
            state_edit::push(global, &workspace, &file, force, &consent).await
        }
        StateCommand::Rm { workspace, addresses, consent } => {
            state_edit::remove(global, &workspace, &addresses, &consent).await
        }
        StateCommand::Mv { workspace, from, to, consent, dry_run } => {
            adopt::relocate(global, &workspace, (&from, &to), &consent, dry_run).await
        }
        StateCommand::Versions { workspace } => state::versions(global, &workspace).await,
        StateCommand::Restore { workspace, version, consent } => {
            state::restore(global, &workspace, &version, &consent).await
        }
    }
}
