//! Local processes, whose output is printed line by line, and which are stopped as ECS stops containers.

use crate::exit::Error;
use crate::local::programs::Program;
use crate::output::console;
use crate::output::{BOLD, paint};
use pb_engine::ErrorCode;
use std::io::{BufRead, BufReader, Error as IoError, Read, Result as IoResult};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Timeout for a connection to a local port.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);

/// Timeout for a connection to an address of another host.
const REMOTE_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Running program. Dropping it kills its process group.
pub struct Running {
    pub program: Program,
    child: Child,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Starts a program in its own process group, so that Ctrl-C in a terminal reaches only this process.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start(program: Program, width: usize) -> Result<Self, Error> {
        let (name, rest) = program.command.split_first().map_or(("", &[][..]), |(name, rest)| (name.as_str(), rest));
        let mut command = Command::new(name);
        command.args(rest).envs(&program.environment).current_dir(&program.folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(|why| {
            let hint = "install its dependencies: `pip install -r requirements.txt` in an active virtual environment";
            Error::other(ErrorCode::Program, format!("cannot run `{name}` for {}: {why}", program.name), hint)
        })?;
        let prefix = format!("{:<width$} | ", program.name);
        child.stdout.take().into_iter().for_each(|pipe| copy(pipe, prefix.clone()));
        child.stderr.take().into_iter().for_each(|pipe| copy(pipe, prefix.clone()));
        Ok(Self { program, child, ended: None })
    }

    /// Returns the exit status if the program has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Returns whether something listens on the program's port; true for a program without a port.
    pub fn listens(&self) -> bool {
        self.program.port.is_none_or(listens)
    }

    /// Sends SIGTERM to the program alone, which is responsible for its children, as it is when it runs under an init
    /// process.
    pub fn terminate(&mut self) {
        #[cfg(unix)]
        if self.ended().is_none()
            && let Some(pid) = pid(&self.child)
        {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
    }

    /// Sends SIGKILL to the program's process group.
    pub fn kill(&mut self) {
        #[cfg(unix)]
        if let Some(pid) = pid(&self.child) {
            rustix::process::kill_process_group(pid, rustix::process::Signal::KILL).ok();
        }
        self.child.kill().ok();
        self.ended = self.child.wait().ok();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(unix)]
fn pid(child: &Child) -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// Returns whether something listens on a local port.
pub fn listens(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), CONNECT_TIMEOUT).is_ok()
}

/// Connects to a port of any host, and closes the connection.
///
/// # Errors
/// If the host is unknown, or no address of it accepts the connection.
pub fn connect(host: &str, port: u16) -> IoResult<()> {
    let mut last = IoError::other("the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, REMOTE_CONNECT_TIMEOUT) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Prints each line of `pipe` from a separate thread, until the pipe is closed.
fn copy(pipe: impl Read + Send + 'static, prefix: String) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line);
            // Errors are ignored: even if nobody reads this output, the pipe must be read, or the program would block.
            console::try_print([format!("{}{}", paint(BOLD, &prefix), text.trim_end())]).ok();
            line.clear();
        }
    });
}
