//! The command line.

pub mod errors;
mod options;
#[cfg(test)]
mod printed_commands;

pub use options::{
    Acceptance, AdoptOptions, Consent, GraphFormat, ImageOptions, InitOptions, JobOptions, LocalOptions, LogOptions,
    OnInterrupt, PlanOutput, SchemaOf, Selection, WaitOptions,
};
use options::{count, wait_seconds};

use clap::{Args, Parser, Subcommand};
use pb_state::Timing;
use std::path::PathBuf;
use std::time::Duration;

/// Deploys Flask, Celery and Redis to AWS ECS Fargate, one stack per workspace.
#[derive(Debug, Parser)]
#[command(name = "pb-deploy", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    the plan has changes (with --detailed-exitcode), or there is drift (drift)
  3    another run holds the lock
  4    deployed, but some images still have to be pushed
  64   invalid usage
  130  interrupted";

#[derive(Debug, Args)]
pub struct Global {
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE", default_value = "pb_deploy.toml", env = "PB_DEPLOY_CONFIG")]
    pub config: PathBuf,
    /// Profile in ~/.aws
    #[arg(long, global = true, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// Region, instead of the configured one
    #[arg(long, global = true, value_name = "REGION")]
    pub region: Option<String>,
    /// Endpoint URL for all AWS services
    #[arg(long, global = true, value_name = "URL")]
    pub endpoint_url: Option<String>,
    /// Write JSON to stdout: one document for a query, one line per event for a run
    #[arg(long, global = true)]
    pub json: bool,
    /// Do not use colour
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Also show unchanged resources and every event
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Seconds until a lock without a heartbeat expires, for tests. All runs that share a workspace need the same
    /// value, or one run takes the lock from another that is alive.
    #[arg(long, global = true, hide = true, env = "PB_DEPLOY_LEASE_SECONDS", default_value_t = LEASE_SECONDS,
          value_parser = clap::value_parser!(u64).range(1..=600))]
    pub lease_seconds: u64,
}

/// Default of `--lease-seconds`, the same as in [`Timing::default`].
const LEASE_SECONDS: u64 = 20;

impl Global {
    /// Returns the duration and the heartbeat interval of the lease.
    pub fn timing(&self) -> Timing {
        let lease = Duration::from_secs(self.lease_seconds);
        Timing { lease, heartbeat: lease / 4 }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what a deploy would do, without changing anything
    Plan {
        workspace: String,
        #[command(flatten)]
        output: PlanOutput,
        /// Plan a destroy instead
        #[arg(long)]
        destroy: bool,
        /// With --destroy: also delete the images in the repository
        #[arg(long, requires = "destroy")]
        delete_images: bool,
        #[command(flatten)]
        jobs: JobOptions,
        #[command(flatten)]
        images: ImageOptions,
        #[command(flatten)]
        selection: Selection,
    },
    /// Create or update a workspace: show the plan, ask for confirmation, apply the plan
    Deploy {
        workspace: String,
        #[command(flatten)]
        selection: Selection,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        acceptance: Acceptance,
        #[command(flatten)]
        jobs: JobOptions,
        #[command(flatten)]
        images: ImageOptions,
        #[command(flatten)]
        wait: WaitOptions,
        /// On Ctrl-C, leave running rollouts or roll them back [default: ask on a terminal, otherwise leave]
        #[arg(long, value_enum)]
        on_interrupt: Option<OnInterrupt>,
    },
    /// Apply a saved plan without asking, if nothing that it is bound to has changed
    Apply {
        file: PathBuf,
        #[command(flatten)]
        consent: Consent,
    },
    /// Delete all managed resources of a workspace: show the plan, ask for confirmation, apply the plan
    Destroy {
        workspace: String,
        /// Delete only this resource and what depends on it; can be repeated. `net` stands for all of net/...
        #[arg(long = "target", value_name = "ADDRESS", value_delimiter = ',')]
        targets: Vec<String>,
        /// Also delete the images in the repository; without this option, a repository with images is not deleted
        #[arg(long)]
        delete_images: bool,
        #[command(flatten)]
        jobs: JobOptions,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        acceptance: Acceptance,
    },
    /// Set up an AWS account for the first deploy (state bucket, lock table, role); safe to repeat
    Bootstrap {
        workspace: String,
        /// Also create the public hosted zone, and print its name servers
        #[arg(long)]
        zone: bool,
        #[command(flatten)]
        consent: Consent,
    },
    /// Check everything that a deploy needs and suggest fixes, without changing anything
    Doctor { workspace: String },
    /// Import existing AWS resources, for example from Terraform (only tags are changed)
    Adopt {
        workspace: String,
        #[command(flatten)]
        adoption: AdoptOptions,
    },
    /// Stop managing resources without deleting them
    Forget {
        workspace: String,
        /// Addresses of the resources
        #[arg(required = true, value_name = "ADDRESS", value_delimiter = ',')]
        addresses: Vec<String>,
        #[command(flatten)]
        consent: Consent,
        /// Only show what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Show what changed outside of pb-deploy since the last run; exit with 2 if anything did
    Drift { workspace: String },
    /// Print the dependencies between resources, without calling AWS
    Graph {
        workspace: String,
        #[arg(long, value_enum, default_value_t = GraphFormat::Dot)]
        format: GraphFormat,
    },
    /// Show services, target health, images, drift, address and lock
    Status {
        workspace: String,
        /// Refresh every two seconds until interrupted
        #[arg(long)]
        watch: bool,
    },
    /// Show the revisions of each service: image, who released it and when, and the outcome
    History { workspace: String },
    /// Return to the revisions that ran before the last deploy, or to one such as flask:3
    Rollback {
        workspace: String,
        revision: Option<String>,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        wait: WaitOptions,
    },
    /// Replace the tasks of all services, or of the named ones, in a rollout
    Restart {
        workspace: String,
        #[arg(value_delimiter = ',')]
        services: Vec<String>,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        wait: WaitOptions,
    },
    /// Set the number of tasks of a service: celery=8
    Scale {
        workspace: String,
        #[arg(required = true, value_name = "SERVICE=COUNT", value_delimiter = ',', value_parser = count)]
        counts: Vec<(String, i32)>,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        wait: WaitOptions,
    },
    /// Wait for the latest rollout to finish
    Wait {
        workspace: String,
        /// Time to wait, instead of the configured time: seconds, or 90s, 5m, 1h
        #[arg(long, value_name = "TIME", value_parser = wait_seconds)]
        wait_timeout: Option<u32>,
    },
    /// Show the outputs of the last run: address, names and ids
    Output {
        workspace: String,
        /// Print only the value of this output
        name: Option<String>,
    },
    /// List the configured workspaces
    Workspace {
        #[command(subcommand)]
        command: WorkspaceCommand,
    },
    /// Inspect and edit the state of a workspace
    State {
        #[command(subcommand)]
        command: StateCommand,
    },
    /// Break a stale lock
    #[command(visible_alias = "force-unlock")]
    Unlock {
        workspace: String,
        /// Id of the lock, as shown by `status` and by the run that could not acquire it
        id: String,
    },
    /// Print the logs of the services, oldest line first
    Logs {
        workspace: String,
        /// Only this configured service, such as flask or celery
        service: Option<String>,
        #[command(flatten)]
        options: LogOptions,
    },
    /// List running tasks, and tasks that stopped within the last hour, with the reason
    Tasks { workspace: String },
    /// Open a shell, or run a command, in a running task of a service
    Exec {
        workspace: String,
        service: String,
        /// Task whose id starts with ID [default: the most recently started task]
        #[arg(long, value_name = "ID")]
        task: Option<String>,
        /// Command to run [default: a shell]
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Run a command in a new task, show the task's log, and exit with the command's exit code
    Run {
        workspace: String,
        /// Service whose deployed image, network and environment the task uses
        #[arg(long, value_name = "SERVICE", default_value = "celery")]
        service: String,
        /// Command to run
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Run a workspace on this machine, without AWS
    Local {
        #[command(subcommand)]
        command: LocalCommand,
    },
    /// Check the configuration without calling AWS
    Validate,
    /// Write a commented configuration, from scratch or from a Terraform configuration
    Init(InitOptions),
    /// Print the JSON schema of the configuration, of saved plans or of JSON output
    Schema {
        #[arg(value_enum)]
        of: SchemaOf,
    },
    /// Format the configuration; comments, order and values are preserved
    Fmt {
        /// Change nothing; exit with 1 if the file is not formatted
        #[arg(long)]
        check: bool,
    },
    /// Show a saved plan
    Show {
        file: PathBuf,
        /// Print it as Markdown, for a pull request
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
    },
    /// Explain the code of an error, such as PB0501: the meaning, common causes and what to do
    Explain {
        /// Code [default: list all codes]
        code: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum LocalCommand {
    /// Start the queue and one process per service, with the command and environment of its task definition
    Up {
        workspace: String,
        #[command(flatten)]
        options: LocalOptions,
    },
}

#[derive(Debug, Subcommand)]
pub enum WorkspaceCommand {
    /// List the workspaces
    List,
}

#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// List the recorded addresses
    List { workspace: String },
    /// Show the records of all resources, or of one
    Show { workspace: String, address: Option<String> },
    /// Write the snapshot to stdout, byte for byte as it is stored
    Pull { workspace: String },
    /// Write a snapshot from a file as the newest version, under the lock
    Push {
        workspace: String,
        /// File that `state pull` wrote, possibly edited since
        file: PathBuf,
        /// Also accept a snapshot of another lineage, or an older one
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        consent: Consent,
    },
    /// Remove the records of resources, under the lock; the resources remain in AWS and are found again by their tags
    Rm {
        workspace: String,
        #[arg(required = true, value_delimiter = ',')]
        addresses: Vec<String>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Move existing resources to their addresses in the configuration; their names in AWS do not change
    Mv {
        workspace: String,
        /// Current address of a resource, or the old key of a service to move all resources of the service
        from: String,
        /// New address, or the new key of the service
        to: String,
        #[command(flatten)]
        consent: Consent,
        /// Only show what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// List the versions that the bucket keeps, newest first
    Versions { workspace: String },
    /// Write an older version as the newest one, under the lock
    Restore {
        workspace: String,
        /// Id of the version, as shown by `state versions`
        version: String,
        #[command(flatten)]
        consent: Consent,
    },
}
