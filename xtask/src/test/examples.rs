//! The examples of all crates, run against the endpoint. An example exits with an error if the endpoint does not behave
//! as it expects.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::target::Endpoint;
use crate::emulator::{ensure_prerequisites, log_tail};
use crate::failure::Failure;
use crate::local;
use crate::project::Project;
use crate::summary::{Outcome, Tally};

/// Account that all examples use; they run one after another.
const ACCOUNT: &str = "100000000001";
const REGION: &str = "us-east-2";
const BUCKET: &str = "pb-examples-state";
const TABLE: &str = "pb-examples-lock";
const ROLE: &str = "ecsTaskExecutionRole";
/// Arguments of the examples that need arguments.
const ARGUMENTS: [(&str, &[&str]); 1] = [("locked_state", &[BUCKET, TABLE])];
/// Time limit of one example.
const MAX_DURATION: Duration = Duration::from_secs(180);

/// Builds and runs the examples whose names match.
///
/// # Errors
///
/// Fails if the examples do not compile, or if their prerequisites cannot be created.
pub fn run(project: &Project, endpoint: &Endpoint, filters: &[String]) -> Result<Outcome, Failure> {
    let mut examples = find(&project.root.join("crates"))?;
    examples.retain(|name| filters.is_empty() || filters.iter().any(|filter| name.contains(filter)));
    if examples.is_empty() {
        return Ok(Outcome::Skipped("no example matches the filter".to_owned()));
    }
    build(project)?;
    let wanted = json!({"account": ACCOUNT, "region": REGION, "bucket": BUCKET, "table": TABLE, "role": ROLE});
    ensure_prerequisites(endpoint.url(), &wanted)?;
    let mut tally = Tally::default();
    for name in &examples {
        let program = project.target.join("release").join("examples").join(name);
        let log = project.target.join("release").join("examples").join(format!("{name}.log"));
        match succeeds(command(&program, name, endpoint), &log, MAX_DURATION) {
            Ok(()) => tally.passed += 1,
            Err(why) => {
                tally.failed += 1;
                eprintln!("error: example {name}: {why}\n{}", log_tail(&log));
            }
        }
    }
    Ok(Outcome::Tests(tally, Ok(())))
}

/// Returns the names of all examples, sorted.
fn find(crates: &Path) -> Result<Vec<String>, Failure> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let files = list(crates).into_iter().flat_map(|folder| list(&folder.join("examples")));
    let sources = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let mut names: Vec<String> =
        sources.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Failure::new(format!("two crates have an example `{}`", pair[0]))),
        None => Ok(names),
    }
}

fn build(project: &Project) -> Result<(), Failure> {
    let mut command = project.cargo("build");
    command.args(["--release", "--workspace", "--examples"]);
    let status = command.status().map_err(|error| Failure::io("run cargo", &error))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("building the examples failed: {status}"))) }
}

fn command(program: &Path, name: &str, endpoint: &Endpoint) -> Command {
    let mut command = Command::new(program);
    super::isolate_from_aws(&mut command);
    local::use_endpoint(&mut command, endpoint.url(), None);
    command.env("AWS_ACCESS_KEY_ID", ACCOUNT).env("AWS_REGION", REGION);
    command.env("EXECUTION_ROLE_ARN", format!("arn:aws:iam::{ACCOUNT}:role/{ROLE}"));
    let arguments = ARGUMENTS.iter().find(|(known, _)| *known == name);
    command.args(arguments.into_iter().flat_map(|(_, arguments)| *arguments));
    command
}

/// Runs a program with a time limit, and writes its output to a log.
fn succeeds(mut command: Command, log: &Path, max_duration: Duration) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    let out = File::create(log).map_err(failed)?;
    command.stdin(Stdio::null()).stderr(out.try_clone().map_err(failed)?).stdout(out);
    let mut child = command.spawn().map_err(failed)?;
    let end = Instant::now() + max_duration;
    while Instant::now() < end {
        match child.try_wait().map_err(failed)?.map(|status: ExitStatus| (status.success(), status)) {
            Some((true, _)) => return Ok(()),
            Some((false, status)) => return Err(status.to_string()),
            None => thread::sleep(Duration::from_millis(20)),
        }
    }
    child.kill().and_then(|()| child.wait()).map_err(failed)?;
    Err(format!("not finished within {} s", max_duration.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_exclude_support_modules() {
        let crates = tempfile::tempdir().unwrap();
        for file in ["net/examples/vpc.rs", "edge/examples/record.rs", "edge/examples/support/place.rs"] {
            let path = crates.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        assert_eq!(find(crates.path()).unwrap(), ["record", "vpc"]);
        std::fs::write(crates.path().join("edge/examples/vpc.rs"), "").unwrap();
        assert!(find(crates.path()).unwrap_err().to_string().contains("`vpc`"));
    }

    #[test]
    fn example_fails_by_exit_code_or_timeout() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let shell = |script: &str, seconds: f64| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            succeeds(command, &log, Duration::from_secs_f64(seconds))
        };
        shell("echo fine", 10.0).unwrap();
        assert!(shell("echo not true: a; exit 1", 10.0).unwrap_err().contains("exit status: 1"));
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "not true: a\n");
        assert!(shell("exec sleep 20", 0.05).unwrap_err().contains("not finished"));
    }
}
