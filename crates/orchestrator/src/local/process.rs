//! Processes of this machine: started, shown line by line, stopped as ECS stops containers.

use crate::exit::Error;
use crate::local::programs::Program;
use crate::render::{BOLD, paint};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Longest wait for a port of this machine to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);

/// A program that runs. What is left of it is killed when this value goes.
pub struct Running {
    pub program: Program,
    child: Child,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Starts a program in a process group of its own, so that Ctrl-C in a terminal does not reach it past us.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: Program, width: usize) -> Result<Self, Error> {
        let (name, rest) = program.command.split_first().map_or(("", &[][..]), |(name, rest)| (name.as_str(), rest));
        let mut command = Command::new(name);
        command.args(rest).envs(&program.environment).current_dir(&program.folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(|why| {
            let hint =
                "install what it needs: `pip install -r requirements.txt` in a virtual environment that is active";
            Error::other(format!("cannot run `{name}` for {}: {why}", program.name), hint)
        })?;
        let prefix = format!("{:<width$} | ", program.name);
        child.stdout.take().into_iter().for_each(|pipe| copy(pipe, prefix.clone()));
        child.stderr.take().into_iter().for_each(|pipe| copy(pipe, prefix.clone()));
        Ok(Self { program, child, ended: None })
    }

    /// How it ended, when it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Whether something listens on its port; true for one that has none.
    pub fn listens(&self) -> bool {
        self.program.port.is_none_or(listens)
    }

    /// SIGTERM to the program itself: what it has started is its own affair, as under an init process.
    pub fn terminate(&mut self) {
        #[cfg(unix)]
        if self.ended().is_none()
            && let Some(pid) = pid(&self.child)
        {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
    }

    /// SIGKILL to all that is left of it.
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

/// Whether something listens on a port of this machine.
pub fn listens(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), CONNECT_TIMEOUT).is_ok()
}

/// Shows each line of `pipe`, in a thread of its own, until the pipe is closed.
fn copy(pipe: impl Read + Send + 'static, prefix: String) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line);
            // Who reads us may be gone; the program still wants its pipe to be read.
            writeln!(anstream::stdout().lock(), "{}{}", paint(BOLD, &prefix), text.trim_end()).ok();
            line.clear();
        }
    });
}
