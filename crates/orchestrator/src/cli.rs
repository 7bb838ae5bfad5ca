//! The command line.

use crate::images::Given;
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
  2    the plan has changes (with --detailed-exitcode)
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
    },
    /// Make what is configured: plan, show, ask, act
    Deploy {
        workspace: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        images: ImageOptions,
        #[command(flatten)]
        wait: WaitOptions,
    },
    /// Do what a saved plan says, if the world is still as the plan saw it
    Apply { file: PathBuf },
    /// Remove all that was made: plan, show, ask, act
    Destroy {
        workspace: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Show services, health, address and lock
    Status { workspace: String },
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
    Unlock {
        workspace: String,
        /// The id that `status` and the refusal show
        id: String,
    },
    /// Check the configuration, without any call
    Validate,
    /// Show a saved plan
    Show { file: PathBuf },
}

#[derive(Debug, Args)]
pub struct Consent {
    /// Do not ask
    #[arg(long, short = 'y', visible_alias = "auto-approve")]
    pub yes: bool,
    /// Wait so long for a lock that another holds, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub lock_timeout: u64,
}

#[derive(Debug, Clone, Default, Args)]
pub struct ImageOptions {
    /// Run this image in a service, in this run: a tag of the workspace's own repository, a digest (sha256:...) or a full
    /// reference. For good, write it into the configuration
    #[arg(long = "image", value_name = "SERVICE=TAG", value_parser = pair)]
    images: Vec<(String, String)>,
}

impl ImageOptions {
    /// The images by service; the last one given for a service counts.
    pub fn given(&self) -> Given {
        self.images.iter().cloned().collect()
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((service, tag)) if !service.is_empty() && !tag.is_empty() => Ok((service.to_owned(), tag.to_owned())),
        _ => Err("SERVICE=TAG is wanted, such as flask=v2".to_owned()),
    }
}

#[derive(Debug, Clone, Copy, Default, Args)]
pub struct WaitOptions {
    /// Wait so long for a rollout, in seconds, instead of the configured time
    #[arg(long, value_name = "SECONDS", conflicts_with = "no_wait",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub wait_timeout: Option<u32>,
    /// Do not wait for rollouts: whether they succeed is then not known
    #[arg(long)]
    pub no_wait: bool,
}

#[derive(Debug, Subcommand)]
pub enum WorkspaceCommand {
    /// List them
    List,
}

#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// Show what is remembered
    Show { workspace: String },
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
