//! The command line.

mod options;

use options::count;
pub use options::{
    Acceptance, AdoptOptions, Consent, GraphFormat, ImageOptions, InitOptions, LocalOptions, LogOptions, OnInterrupt,
    SchemaOf, Selection, WaitOptions,
};

use clap::{Args, Parser, Subcommand};
use pb_state::Timing;
use std::path::PathBuf;
use std::time::Duration;

/// Deploys Flask, Celery and Redis to AWS ECS Fargate, one stack for each workspace.
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
  2    the plan has changes (with --detailed-exitcode), or something has drifted (drift)
  3    locked by another
  4    all is made but the services whose images are yet to be pushed
  64   usage
  130  interrupted";

#[derive(Debug, Args)]
pub struct Global {
    /// The configuration
    #[arg(long, global = true, value_name = "FILE", default_value = "pb_deploy.toml", env = "PB_DEPLOY_CONFIG")]
    pub config: PathBuf,
    /// The profile of ~/.aws
    #[arg(long, global = true, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// The region, instead of the configured one
    #[arg(long, global = true, value_name = "REGION")]
    pub region: Option<String>,
    /// The endpoint of all services, instead of AWS
    #[arg(long, global = true, value_name = "URL")]
    pub endpoint_url: Option<String>,
    /// One JSON document for a query, JSON lines of events for a run, on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// No colour, whatever the terminal can do
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Show unchanged resources and every event
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// For how many seconds a lease holds without a heartbeat: for tests. All who share a workspace need the same, else one
    /// takes the lease from a holder that lives.
    #[arg(long, global = true, hide = true, env = "PB_DEPLOY_LEASE_SECONDS", default_value_t = LEASE_SECONDS,
          value_parser = clap::value_parser!(u64).range(1..=600))]
    pub lease_seconds: u64,
}

/// As [`Timing::default`].
const LEASE_SECONDS: u64 = 20;

impl Global {
    /// How the lease is kept.
    pub fn timing(&self) -> Timing {
        let lease = Duration::from_secs(self.lease_seconds);
        Timing { lease, heartbeat: lease / 4 }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what a deploy would do; changes nothing
    Plan {
        workspace: String,
        /// Save the plan, for `apply`
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Exit with 2 when the plan has changes
        #[arg(long)]
        detailed_exitcode: bool,
        /// Plan to destroy instead
        #[arg(long)]
        destroy: bool,
        #[command(flatten)]
        images: ImageOptions,
        #[command(flatten)]
        selection: Selection,
        /// Show it as Markdown, for a pull request
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
    },
    /// Make what is configured: plan, show, ask, act
    Deploy {
        workspace: String,
        #[command(flatten)]
        selection: Selection,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        acceptance: Acceptance,
        #[command(flatten)]
        images: ImageOptions,
        #[command(flatten)]
        wait: WaitOptions,
        /// What becomes of a rollout when this run is interrupted; a terminal is asked, without one it is left going
        #[arg(long, value_enum)]
        on_interrupt: Option<OnInterrupt>,
    },
    /// Do what a saved plan says, if the world is still as the plan saw it; never asks
    Apply {
        file: PathBuf,
        #[command(flatten)]
        consent: Consent,
    },
    /// Remove all that was made: plan, show, ask, act
    Destroy {
        workspace: String,
        /// Only this resource, with all that needs it; may be given several times. `net` is all of net/...
        #[arg(long = "target", value_name = "ADDRESS")]
        targets: Vec<String>,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        acceptance: Acceptance,
    },
    /// Make what a first deploy needs: state bucket, lock table, execution role; what is there is used
    Bootstrap {
        workspace: String,
        /// Make the public hosted zone too, and print its name servers
        #[arg(long)]
        zone: bool,
        #[command(flatten)]
        consent: Consent,
    },
    /// Check everything that a deploy needs, and say what to do; changes nothing
    Doctor { workspace: String },
    /// Take over what is there already, from Terraform or by hand: by its tags, and nothing else
    Adopt {
        workspace: String,
        #[command(flatten)]
        adoption: AdoptOptions,
    },
    /// Let go of what shall no longer be ours; it stays as it is
    Forget {
        workspace: String,
        /// What stands at these addresses
        #[arg(required = true, value_name = "ADDRESS")]
        addresses: Vec<String>,
        #[command(flatten)]
        consent: Consent,
        /// Show what would be done, and no more
        #[arg(long)]
        dry_run: bool,
    },
    /// Show what somebody else changed since the last run; exits with 2 when there is something
    Drift { workspace: String },
    /// Show which resource needs which, without any call
    Graph {
        workspace: String,
        #[arg(long, value_enum, default_value_t = GraphFormat::Dot)]
        format: GraphFormat,
    },
    /// Show services, health, image, drift, address and lock
    Status {
        workspace: String,
        /// Show it again every two seconds, until interrupted
        #[arg(long)]
        watch: bool,
    },
    /// Show the revisions of each service: image, who released it when, and what came of it
    History { workspace: String },
    /// Go back to what ran before the last deploy, or to a revision such as flask:3
    Rollback {
        workspace: String,
        revision: Option<String>,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        wait: WaitOptions,
    },
    /// Replace the tasks of all services, or of the named ones, as in a rollout
    Restart {
        workspace: String,
        services: Vec<String>,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        wait: WaitOptions,
    },
    /// Set how many tasks of a service run: celery=8
    Scale {
        workspace: String,
        #[arg(required = true, value_name = "SERVICE=COUNT", value_parser = count)]
        counts: Vec<(String, i32)>,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        wait: WaitOptions,
    },
    /// Wait until what was released last serves
    Wait {
        workspace: String,
        /// Wait so long, in seconds, instead of the configured time
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
        wait_timeout: Option<u32>,
    },
    /// Show what the last run gave: the address, names and ids
    Output {
        workspace: String,
        /// Only this one, bare
        name: Option<String>,
    },
    /// The configured workspaces
    Workspace {
        #[command(subcommand)]
        command: WorkspaceCommand,
    },
    /// The snapshot of a workspace
    State {
        #[command(subcommand)]
        command: StateCommand,
    },
    /// Take the lock from a holder that will never come back
    #[command(visible_alias = "force-unlock")]
    Unlock {
        workspace: String,
        /// The id that `status` and the refusal show
        id: String,
    },
    /// Show what the services wrote, oldest first
    Logs {
        workspace: String,
        /// Only this service: flask, celery or another that is configured
        service: Option<String>,
        #[command(flatten)]
        options: LogOptions,
    },
    /// Show the tasks that run, and those that stopped within the last hour, with their reasons
    Tasks { workspace: String },
    /// Open a shell, or run a command, in a running task of a service
    Exec {
        workspace: String,
        service: String,
        /// This task, by the beginning of its id; else the one that was started last
        #[arg(long, value_name = "ID")]
        task: Option<String>,
        /// The command; a shell without one
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Run a command in a task of its own, show its log, and exit with its exit code
    Run {
        workspace: String,
        /// In the image, network and environment of this service, as they are deployed
        #[arg(long, value_name = "SERVICE", default_value = "celery")]
        service: String,
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Run a workspace on this machine, without AWS
    Local {
        #[command(subcommand)]
        command: LocalCommand,
    },
    /// Check the configuration, without any call
    Validate,
    /// Write a first configuration, commented, from nothing or from a Terraform configuration
    Init(InitOptions),
    /// Show the JSON schema of the configuration or of a saved plan
    Schema {
        #[arg(value_enum)]
        of: SchemaOf,
    },
    /// Write the configuration in its usual form; comments, order and values stay
    Fmt {
        /// Change nothing; exit with 1 when there is something to change
        #[arg(long)]
        check: bool,
    },
    /// Show a saved plan
    Show {
        file: PathBuf,
        /// As Markdown, for a pull request
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum LocalCommand {
    /// Start the queue and one process of each service, with the command and environment of its task definition
    Up {
        workspace: String,
        #[command(flatten)]
        options: LocalOptions,
    },
}

#[derive(Debug, Subcommand)]
pub enum WorkspaceCommand {
    /// List them
    List,
}

#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// List the addresses of what is remembered
    List { workspace: String },
    /// Show what is remembered, of all or of one resource
    Show { workspace: String, address: Option<String> },
    /// Write the snapshot to stdout as it is stored
    Pull { workspace: String },
    /// Write a snapshot from a file as the newest one, under the lock
    Push {
        workspace: String,
        /// As `state pull` wrote it; it may have been edited
        file: PathBuf,
        /// Also one of another lineage, or an older one
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        consent: Consent,
    },
    /// Forget what is remembered of a resource, under the lock; the resource itself stays, and is found again by its tags
    Rm {
        workspace: String,
        #[arg(required = true)]
        addresses: Vec<String>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Give what is there the address that the configuration has for it now; what AWS calls it stays
    Mv {
        workspace: String,
        /// The address that it has; or the key of a service, for all that is its
        from: String,
        /// The address that it is to have; or the key that the service has now
        to: String,
        #[command(flatten)]
        consent: Consent,
        /// Show what would be done, and no more
        #[arg(long)]
        dry_run: bool,
    },
    /// List the versions that the bucket keeps, the latest first
    Versions { workspace: String },
    /// Write an older version as the newest one, under the lock
    Restore {
        workspace: String,
        /// The id that `state versions` shows
        version: String,
        #[command(flatten)]
        consent: Consent,
    },
}
