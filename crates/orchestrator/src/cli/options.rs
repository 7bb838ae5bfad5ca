//! Options that several commands share.

use crate::workspace::images::ImageOverrides;
use clap::Args;
use std::path::PathBuf;

/// Part of the stack that a run covers.
#[derive(Debug, Clone, Default, Args)]
pub struct Selection {
    /// Only this resource and what it depends on; can be repeated. `net` stands for all of net/...
    #[arg(long = "target", value_name = "ADDRESS", value_delimiter = ',')]
    pub targets: Vec<String>,
    /// Replace this resource even if it matches the configuration; can be repeated
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub replace: Vec<String>,
    /// Only record what changed outside of pb-deploy, without changing AWS
    #[arg(long, conflicts_with_all = ["targets", "replace"])]
    pub refresh_only: bool,
}

/// Values for a new configuration.
#[derive(Debug, Args)]
pub struct InitOptions {
    /// Take values from this terraform.tfvars, and from the backend in the *.tf files next to it
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Hostname of production
    #[arg(long)]
    pub hostname: Option<String>,
    /// State bucket
    #[arg(long)]
    pub bucket: Option<String>,
    /// Lock table
    #[arg(long)]
    pub lock_table: Option<String>,
}

/// Format that a schema describes.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum SchemaOf {
    /// pb_deploy.toml, for editors
    Config,
    /// Saved plans, and the output of `plan --json` and `show --json`
    Plan,
    /// Events of a run, as `--json` prints them
    Events,
    /// Documents of all other commands, as `--json` prints them
    Documents,
}

/// Output format of a graph.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum GraphFormat {
    /// For Graphviz
    Dot,
    /// For Markdown
    Mermaid,
}

#[derive(Debug, Args)]
pub struct AdoptOptions {
    /// Resource to import and its address: `net/vpc=vpc-0123`, by id, name or ARN; `fargate/flask=CLUSTER/SERVICE`
    #[arg(value_name = "ADDRESS=ID")]
    pub pairs: Vec<String>,
    /// State of a Terraform stack to import: `s3://BUCKET/KEY`, or a file
    #[arg(long, value_name = "STATE")]
    pub from_terraform: Option<String>,
    /// Restore the ownership tags of recorded resources that have lost them, for example to `terraform apply`
    #[arg(long)]
    pub restore_tags: bool,
    #[command(flatten)]
    pub consent: Consent,
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct Consent {
    /// Do not ask for confirmation
    #[arg(long, short = 'y', visible_alias = "auto-approve")]
    pub yes: bool,
    /// Time to wait for another run to finish: seconds, or 90s, 5m, 1h
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = seconds)]
    pub lock_timeout: u64,
}

#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Acceptance {
    /// With --yes: apply the plan even if, once the lock is held, it deletes or replaces more than the plan that was
    /// shown. Without this option, such a plan is shown and the run exits with 1
    #[arg(long, requires = "yes")]
    pub accept_changed_plan: bool,
}

#[derive(Debug, Clone, Default, Args)]
pub struct PlanOutput {
    /// Save the plan to a file, for `apply`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Exit with 2 if the plan has changes
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Print the plan as Markdown, for a pull request
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
}

#[derive(Debug, Clone, Copy, Default, Args)]
pub struct JobOptions {
    /// Delete or replace the queue with the jobs in it, without counting them. Without this option, a run that would
    /// delete a queue with jobs ends before it changes anything
    #[arg(long)]
    pub lose_jobs: bool,
}

#[derive(Debug, Clone, Default, Args)]
pub struct ImageOptions {
    /// Use this image for a service, in this run only: a tag of the workspace's own repository, a digest (sha256:...)
    /// or a full reference. To use it permanently, set it in the configuration
    #[arg(long = "image", value_name = "SERVICE=TAG", value_delimiter = ',', value_parser = pair)]
    images: Vec<(String, String)>,
}

impl ImageOptions {
    /// Returns the images by service. If several images are given for a service, the last image counts.
    pub fn given(&self) -> ImageOverrides {
        self.images.iter().cloned().collect()
    }
}

/// Parses `SERVICE=TAG`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((service, tag)) if !service.is_empty() && !tag.is_empty() => Ok((service.to_owned(), tag.to_owned())),
        _ => Err("expected SERVICE=TAG, such as flask=v2".to_owned()),
    }
}

#[derive(Debug, Clone, Copy, Default, Args)]
pub struct WaitOptions {
    /// Time to wait for a rollout, instead of the configured time: seconds, or 90s, 5m, 1h
    #[arg(long, value_name = "TIME", conflicts_with = "no_wait", value_parser = wait_seconds)]
    pub wait_timeout: Option<u32>,
    /// Do not wait for rollouts; their outcome is then unknown
    #[arg(long)]
    pub no_wait: bool,
}

/// Parses a duration such as `90`, `90s`, `5m`, `1h` or `2d` into seconds.
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
    seconds.ok_or_else(|| "expected seconds, or a number with s, m, h or d, such as 5m".to_owned())
}

/// Longest time to wait for a rollout, in seconds.
const WAIT_MAX: u32 = 86_400;

/// Parses the time to wait for a rollout, like [`seconds`].
pub(super) fn wait_seconds(text: &str) -> Result<u32, String> {
    let seconds = u32::try_from(seconds(text)?).ok().filter(|seconds| (1..=WAIT_MAX).contains(seconds));
    seconds.ok_or_else(|| "expected a time from 1s to 24h".to_owned())
}

#[derive(Debug, Args)]
pub struct LogOptions {
    /// Keep printing new lines until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
    /// Age of the oldest line: 90s, 10m, 1h, 2d
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = seconds)]
    pub since: u64,
    /// Only lines that match this filter pattern of CloudWatch Logs, such as ERROR or '"connection refused"'
    #[arg(long, value_name = "PATTERN")]
    pub filter: Option<String>,
}

#[derive(Debug, Args)]
pub struct LocalOptions {
    /// Folder of the application. The processes run in it, and a service without a configured command runs the command
    /// of the Dockerfile in it
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub app: PathBuf,
    /// Start only this service; can be repeated
    #[arg(long = "only", value_name = "SERVICE", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Address of a running Redis or Valkey to use instead of starting one
    #[arg(long, value_name = "HOST:PORT")]
    pub queue: Option<String>,
}

/// Action for a rollout when the run that started it is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OnInterrupt {
    /// Let it continue in ECS.
    Leave,
    /// Stop it and return to the previous revision.
    Rollback,
}

/// Parses `SERVICE=COUNT`.
pub(super) fn count(text: &str) -> Result<(String, i32), String> {
    let malformed = || "expected SERVICE=COUNT, such as celery=8".to_owned();
    let (service, count) = pair(text).map_err(|_| malformed())?;
    Ok((service, count.parse().map_err(|_| malformed())?))
}

#[cfg(test)]
mod tests {
    use super::{seconds, wait_seconds};
    use crate::cli::{Cli, Command, LocalCommand};
    use clap::Parser;

    #[test]
    fn durations_accept_units_and_plain_seconds() {
        let read: Vec<_> = ["0", "90", "90s", "5m", "1h"].into_iter().map(seconds).collect();
        assert_eq!(read, [Ok(0), Ok(90), Ok(90), Ok(300), Ok(3600)]);
        assert!(["", "m", "1.5m", "-1", "5 m", "18446744073709551615h"].iter().all(|text| seconds(text).is_err()));
    }

    #[test]
    fn wait_times_are_durations_within_limits() {
        assert_eq!(["1", "5m", "24h", "1d"].map(wait_seconds), [Ok(1), Ok(300), Ok(86_400), Ok(86_400)]);
        assert!(["0", "0m", "25h", "18446744073709551615", "soon"].iter().all(|text| wait_seconds(text).is_err()));
    }

    #[test]
    fn lists_are_repeated_or_separated_by_commas() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap().command;
        for line in ["pb-deploy local up a --only flask,celery", "pb-deploy local up a --only flask --only celery"] {
            let Command::Local { command: LocalCommand::Up { options, .. } } = parse(line) else { panic!("{line}") };
            assert_eq!(options.only, ["flask", "celery"]);
        }
        let Command::Scale { counts, .. } = parse("pb-deploy scale a flask=1,celery=2") else { panic!() };
        assert_eq!(counts, [("flask".to_owned(), 1), ("celery".to_owned(), 2)]);
        let Command::Deploy { images, selection, .. } =
            parse("pb-deploy deploy a --image flask=v2,celery=v3 --target net,edge")
        else {
            panic!()
        };
        assert_eq!((images.given().len(), selection.targets), (2, vec!["net".to_owned(), "edge".to_owned()]));
        let Command::Restart { services, .. } = parse("pb-deploy restart a flask,celery") else { panic!() };
        assert_eq!(services, ["flask", "celery"]);
    }
}
