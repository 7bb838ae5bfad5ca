//! The commands, one per file.

mod adopt;
mod apply;
mod bootstrap;
mod deploy;
mod doctor;
mod drift;
mod exec;
mod explain;
mod format;
mod graph;
mod history;
mod init;
mod local;
mod logs;
mod one_off;
mod plan;
mod query;
mod release_status;
mod restart;
mod rollback;
mod scale;
mod schema;
mod state;
mod state_edit;
mod status;
mod tasks;
mod wait;

use crate::cli::{
    Acceptance, Cli, Command, Global, JobOptions, LocalCommand, Selection, StateCommand, WaitOptions, WorkspaceCommand,
};
use crate::exit::{Error, Exit};
use crate::workspace::stack_context::RunOptions;
use pb_engine::Goal;

/// Runs a command.
///
/// # Errors
/// Any error of the command, not printed yet.
pub async fn dispatch(cli: Cli) -> Result<Exit, Error> {
    let global = &cli.global;
    match cli.command {
        Command::Plan { workspace, output, destroy, delete_images, jobs, selection, images } => {
            let goal = if destroy { Goal::Destroy } else { Goal::Deploy };
            let (images, acceptance) = (images.given(), Acceptance::default());
            let run_options = RunOptions { images, selection, delete_images, ..accepted(acceptance, jobs) };
            plan::plan(global, &workspace, goal, &run_options, &output).await
        }
        Command::Deploy { workspace, selection, consent, acceptance, jobs, images, wait, on_interrupt } => {
            let images = images.given();
            let run_options = RunOptions { images, wait, selection, on_interrupt, ..accepted(acceptance, jobs) };
            deploy::deploy(global, &workspace, Goal::Deploy, &consent, &run_options).await
        }
        Command::Destroy { workspace, targets, delete_images, jobs, consent, acceptance } => {
            let selection = Selection { targets, ..Selection::default() };
            let run_options = RunOptions { selection, delete_images, ..accepted(acceptance, jobs) };
            deploy::deploy(global, &workspace, Goal::Destroy, &consent, &run_options).await
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
            rollback::rollback(global, &workspace, revision.as_deref(), &consent, &wait).await
        }
        Command::Restart { workspace, services, consent, wait } => {
            restart::restart(global, &workspace, &services, &consent, &wait).await
        }
        Command::Scale { workspace, counts, consent, wait } => {
            scale::scale(global, &workspace, &counts, &consent, &wait).await
        }
        Command::Wait { workspace, wait_timeout } => {
            wait::wait(global, &workspace, &WaitOptions { wait_timeout, no_wait: false }).await
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
        Command::Init(options) => init::init(global, &options),
        Command::Schema { of } => schema::schema(of),
        Command::Fmt { check } => format::format(global, check),
        Command::Explain { code } => explain::explain(global, code.as_deref()),
    }
}

/// Returns the options of a run with what the user accepts.
fn accepted(acceptance: Acceptance, jobs: JobOptions) -> RunOptions {
    let (Acceptance { accept_changed_plan }, JobOptions { lose_jobs }) = (acceptance, jobs);
    RunOptions { accept_changed_plan, lose_jobs, ..RunOptions::default() }
}

/// Runs a command on the state of a workspace.
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
            adopt::move_addresses(global, &workspace, (&from, &to), &consent, dry_run).await
        }
        StateCommand::Versions { workspace } => state::versions(global, &workspace).await,
        StateCommand::Restore { workspace, version, consent } => {
            state::restore(global, &workspace, &version, &consent).await
        }
    }
}
