//! LocalStack in a container.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::http;

/// Environment variable with the token of the LocalStack licence.
const TOKEN: &str = "LOCALSTACK_AUTH_TOKEN";
/// Environment variable that selects another image, such as an older one.
const IMAGE_VARIABLE: &str = "LOCALSTACK_IMAGE";
/// Default image, as in `emulator/compose.yaml`.
const IMAGE: &str = "localstack/localstack:stable";
/// Port of LocalStack inside its container.
const PORT: &str = "4566/tcp";
/// Longest wait for the first response: LocalStack first checks its licence.
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// Longest wait for one response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval between two requests.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Docker's program, the image and the licence.
#[derive(Debug)]
pub struct Docker {
    program: PathBuf,
    token: Option<String>,
    image: String,
    start_timeout: Duration,
}

/// A container that is stopped when this value is dropped.
#[derive(Debug)]
pub struct Container {
    program: PathBuf,
    id: String,
    /// URL of LocalStack in the container.
    pub url: String,
}

impl Docker {
    /// Reads the settings from the environment.
    pub fn from_env() -> Self {
        let token = std::env::var(TOKEN).ok().filter(|token| !token.trim().is_empty());
        let image = std::env::var(IMAGE_VARIABLE).unwrap_or_else(|_| IMAGE.to_owned());
        Self { program: "docker".into(), token, image, start_timeout: START_TIMEOUT }
    }

    /// Checks that a container can be started.
    ///
    /// # Errors
    ///
    /// Fails if there is no licence or no Docker, or if Docker's daemon does not answer.
    pub fn check(&self) -> Result<(), Failure> {
        let instead = "`--target localstack-host` needs neither Docker nor a licence";
        if self.token.is_none() {
            let text = format!("the target `localstack` needs a LocalStack licence in {TOKEN}\n  hint: {instead}");
            return Err(Failure::unavailable(text));
        }
        self.run(&["info", "--format", "{{.ServerVersion}}"]).map(drop).map_err(|why| {
            Failure::unavailable(format!("the target `localstack` needs Docker: {why}\n  hint: {instead}"))
        })
    }

    /// Starts a container and waits until it is ready.
    ///
    /// # Errors
    ///
    /// Fails if the container does not start, or is not ready in time.
    pub fn start(&self) -> Result<Container, Failure> {
        self.check()?;
        let failed = |why: String| Failure::new(format!("failed to start {}: {why}", self.image));
        // The argument names only the variable and not the token, because arguments are visible to all users.
        let arguments = ["run", "--detach", "--rm", "--publish", "127.0.0.1::4566", "--env", TOKEN, &self.image];
        let id = self.run(&arguments).map_err(failed)?;
        let mut container = Container { program: self.program.clone(), id, url: String::new() };
        let published = self.run(&["port", &container.id, PORT]).map_err(failed)?;
        container.url = format!("http://{}", published.lines().next().unwrap_or_default().trim());
        let end = Instant::now() + self.start_timeout;
        while Instant::now() < end {
            if http::get(&container.url, "/_localstack/health", RESPONSE_TIMEOUT)
                .is_ok_and(|answer| answer.status == 200)
            {
                return Ok(container);
            }
            thread::sleep(POLL_INTERVAL);
        }
        let log = self.run(&["logs", "--tail", "12", &container.id]).unwrap_or_default();
        Err(failed(format!("it was not ready within {} s\n{log}", self.start_timeout.as_secs())))
    }

    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        if let Some(token) = &self.token {
            command.env(TOKEN, token);
        }
        run(command.args(arguments))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Err(why) = run(Command::new(&self.program).args(["stop", "--time", "5", &self.id])) {
            eprintln!("failed to stop the container {}: {why}", self.id);
        }
    }
}

/// Runs a command and returns its output, or its error output if it fails.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    /// A stand-in for Docker that records its arguments and the token.
    fn stand_in(folder: &Path, script: &str) -> Docker {
        let program = folder.join("docker");
        let note = folder.join("called").display().to_string();
        let text = format!("#!/bin/sh\necho \"$* [${TOKEN}]\" >>{note}\ncase $1 in\n{script}\nesac\n");
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Docker {
            program,
            token: Some("secret".into()),
            image: "image:1".into(),
            start_timeout: Duration::from_secs(20),
        }
    }

    fn called(folder: &Path) -> String {
        std::fs::read_to_string(folder.join("called")).unwrap()
    }

    /// Starts a server that answers every request with 200.
    fn server() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]).unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{}").unwrap();
            }
        });
        address
    }

    fn unavailable(failure: &Failure) -> bool {
        format!("{:?}", failure.exit_code()) == format!("{:?}", std::process::ExitCode::from(69))
    }

    #[test]
    fn missing_licence_or_docker_exits_69() {
        let folder = tempfile::tempdir().unwrap();
        let docker = Docker { token: None, ..stand_in(folder.path(), "info) ;;") };
        let failure = docker.check().unwrap_err();
        assert!(failure.to_string().contains(TOKEN) && unavailable(&failure), "{failure}");
        let docker = stand_in(folder.path(), "info) echo no daemon >&2; exit 1 ;;");
        let failure = docker.check().unwrap_err();
        assert!(failure.to_string().contains("no daemon") && unavailable(&failure), "{failure}");
        let docker = Docker { program: folder.path().join("none"), ..docker };
        assert!(unavailable(&docker.check().unwrap_err()));
    }

    #[test]
    fn container_lifecycle_keeps_token_out_of_arguments() {
        let folder = tempfile::tempdir().unwrap();
        let address = server();
        let script = format!("info) echo 28 ;;\nrun) echo abc ;;\nport) echo {address} ;;\nstop) ;;");
        let container = stand_in(folder.path(), &script).start().unwrap();
        assert_eq!(container.url, format!("http://{address}"));
        drop(container);
        let calls = called(folder.path());
        let run = calls.lines().find(|line| line.starts_with("run ")).unwrap();
        assert!(run.contains("--rm") && run.contains("127.0.0.1::4566") && run.contains("image:1"), "{run}");
        assert!(run.ends_with("[secret]") && run.matches("secret").count() == 1, "{run}");
        assert!(calls.lines().last().unwrap().starts_with("stop --time 5 abc"), "{calls}");
    }

    #[test]
    fn unresponsive_container_is_stopped_and_logged() {
        let folder = tempfile::tempdir().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let script = format!("info) ;;\nrun) echo abc ;;\nport) echo {closed} ;;\nlogs) echo no licence ;;\nstop) ;;");
        let docker = Docker { start_timeout: Duration::from_millis(1), ..stand_in(folder.path(), &script) };
        let text = docker.start().unwrap_err().to_string();
        assert!(text.contains("image:1") && text.contains("no licence"), "{text}");
        assert!(called(folder.path()).lines().last().unwrap().starts_with("stop "));
    }

    #[test]
    fn compose_file_uses_the_same_image() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../emulator/compose.yaml");
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(&format!("image: ${{{IMAGE_VARIABLE}:-{IMAGE}}}")), "{text}");
        assert!(text.contains(TOKEN) && text.contains("127.0.0.1:4566:4566"), "{text}");
    }
}
