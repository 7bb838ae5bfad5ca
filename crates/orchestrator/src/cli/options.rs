//! What commands take besides the workspace.

use crate::images::ImageOverrides;
use clap::Args;
use std::path::PathBuf;

/// What of the stack a run is about.
#[derive(Debug, Clone, Default, Args)]
pub struct Selection {
    /// Only this resource, with all that it needs; may be given several times. `net` is all of net/...
    #[arg(long = "target", value_name = "ADDRESS")]
    pub targets: Vec<String>,
    /// Replace this resource though nothing about it differs; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    pub replace: Vec<String>,
    /// Only record what somebody else changed; changes nothing in AWS
    #[arg(long, conflicts_with_all = ["targets", "replace"])]
    pub refresh_only: bool,
}

/// What is known when a configuration is written first.
#[derive(Debug, Args)]
pub struct InitOptions {
    /// Take values from this terraform.tfvars, and from the backend in the *.tf files beside it
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// The hostname of production
    #[arg(long)]
    pub hostname: Option<String>,
    /// The bucket of the state
    #[arg(long)]
    pub bucket: Option<String>,
    /// The table of the locks
    #[arg(long)]
    pub lock_table: Option<String>,
}

/// What a schema is of.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum SchemaOf {
    /// pb_deploy.toml, for editors
    Config,
    /// Saved plans, and what `plan --json` and `show --json` answer
    Plan,
    /// Events of a run, as `--json` prints them
    Events,
    /// Documents of all other commands, as `--json` prints them
    Documents,
}

/// How a graph is written.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum GraphFormat {
    /// For Graphviz
    Dot,
    /// For Markdown
    Mermaid,
}

#[derive(Debug, Args)]
pub struct AdoptOptions {
    /// What is taken over at which address: `net/vpc=vpc-0123`, by id, name or ARN; `fargate/flask=CLUSTER/SERVICE`
    #[arg(value_name = "ADDRESS=ID")]
    pub pairs: Vec<String>,
    /// The state of a Terraform stack: `s3://BUCKET/KEY`, or a file
    #[arg(long, value_name = "STATE")]
    pub from_terraform: Option<String>,
    /// Put the ownership tags back on what is recorded and has lost them, as to `terraform apply` after a takeover
    #[arg(long)]
    pub restore_tags: bool,
    #[command(flatten)]
    pub consent: Consent,
    /// Show what would be done, and no more
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct Consent {
    /// Do not ask
    #[arg(long, short = 'y', visible_alias = "auto-approve")]
    pub yes: bool,
    /// Wait so long for a lock that another holds: seconds, or 90s, 5m, 1h
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = seconds)]
    pub lock_timeout: u64,
}

#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Acceptance {
    /// With --yes: also apply a plan that, by the time the lock is held, deletes or replaces more than the one that was
    /// shown; without this option such a plan is shown, and the run exits with 1
    #[arg(long, requires = "yes")]
    pub accept_changed_plan: bool,
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
    pub fn given(&self) -> ImageOverrides {
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

/// Seconds of `90`, `90s`, `5m`, `1h` or `2d`.
fn seconds(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let factor = match unit {
        "d" => 24 * 3600,
        "h" => 3600,
        "m" => 60,
        _ => 1,
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    seconds.ok_or_else(|| "write seconds, or a number with s, m, h or d, such as 5m".to_owned())
}

#[derive(Debug, Args)]
pub struct LogOptions {
    /// Go on with what is written from now on, until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
    /// How far back: 90s, 10m, 1h, 2d
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = seconds)]
    pub since: u64,
    /// Only lines that match this filter pattern of CloudWatch Logs, such as ERROR or '"connection refused"'
    #[arg(long, value_name = "PATTERN")]
    pub filter: Option<String>,
}

#[derive(Debug, Args)]
pub struct LocalOptions {
    /// The folder of the application: the processes run there, and where no command is configured it is that of the
    /// Dockerfile there
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub app: PathBuf,
    /// Only these services
    #[arg(long = "only", value_name = "SERVICE")]
    pub only: Vec<String>,
    /// A Redis or Valkey that runs already, instead of one that is started
    #[arg(long, value_name = "HOST:PORT")]
    pub queue: Option<String>,
}

/// What becomes of a rollout when the run that started it is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OnInterrupt {
    /// It goes on in ECS.
    Leave,
    /// It is stopped, and the revision before comes back.
    Rollback,
}

pub(super) fn count(text: &str) -> Result<(String, i32), String> {
    let wrong = || "SERVICE=COUNT is wanted, such as celery=8".to_owned();
    let (service, count) = pair(text).map_err(|_| wrong())?;
    Ok((service, count.parse().map_err(|_| wrong())?))
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn durations_accept_units_and_plain_seconds() {
        let read: Vec<_> = ["0", "90", "90s", "5m", "1h"].into_iter().map(seconds).collect();
        assert_eq!(read, [Ok(0), Ok(90), Ok(90), Ok(300), Ok(3600)]);
        assert!(["", "m", "1.5m", "-1", "5 m", "18446744073709551615h"].iter().all(|text| seconds(text).is_err()));
    }
}
