//! What stands between one process of the tool and the endpoint.

use crate::Problem;
use crate::calls::{Call, mutating};
use crate::fault::{How, Rule, internal, refusal, throttling};
use crate::http::{Connection, Message};
use std::collections::HashMap;
use std::io::BufReader;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest time that a call is held, when a test forgets it.
const FORGOTTEN: Duration = Duration::from_secs(300);

/// A call that came through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `service:Action`
    pub call: String,
    /// The status that the endpoint answered; 0 when it has not been asked, or not answered yet.
    pub status: u16,
    /// The entity tag that it answered.
    pub etag: Option<String>,
}

/// A proxy for one process. It ends with this value; calls that are held then are dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where the process is to send its calls.
    pub url: String,
    address: std::net::SocketAddr,
    shared: Arc<Shared>,
    held: Receiver<Held>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    state: Mutex<State>,
    held: Mutex<Sender<Held>>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    seen: Vec<Seen>,
    counts: HashMap<String, usize>,
    changes: usize,
    running: usize,
    closed: bool,
}

/// A call that is held. Dropping it drops the call.
#[derive(Debug)]
pub struct Held {
    /// `service:Action`
    pub call: String,
    open: Sender<()>,
}

impl Held {
    /// Lets it go on.
    pub fn let_go(self) {
        // Nobody waits for it any more when it was held for too long.
        let _ = self.open.send(());
    }
}

impl Proxy {
    /// Starts one before the endpoint at `upstream`.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(upstream: &str, rules: Vec<Rule>) -> Result<Self, Problem> {
        let failed = |error: std::io::Error| format!("failed to start a proxy: {error}");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (sender, held) = channel();
        let state = Mutex::new(State { rules, ..State::default() });
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let shared = Arc::new(Shared { upstream, state, held: Mutex::new(sender) });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.state().closed {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // A connection that breaks is the process's own end, or what a rule asks for.
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Ok(Self { url: format!("http://{address}"), address, shared, held })
    }

    /// One that changes nothing.
    ///
    /// # Errors
    /// As [`Proxy::start`].
    pub fn plain(upstream: &str) -> Result<Self, Problem> {
        Self::start(upstream, Vec::new())
    }

    /// Waits a moment for a call to be held.
    #[must_use]
    pub fn held_within(&self, moment: Duration) -> Option<Held> {
        self.held.recv_timeout(moment).ok()
    }

    /// All calls so far, in the order in which they came.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.state().seen.clone()
    }

    /// The calls so far that change something.
    #[must_use]
    pub fn changes(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| mutating(&seen.call)).collect()
    }

    /// Whether every rule has met its call.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.shared.state().rules.is_empty()
    }

    /// Waits until what was handed on to the endpoint has been done.
    pub fn settle(&self) {
        for _ in 0..2000 {
            if self.shared.state().running == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        // Wakes the one that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut writer = stream.try_clone().ok()?;
        let mut reader = BufReader::new(stream);
        let mut upstream = None;
        while let Ok(Some(request)) = Message::read(&mut reader, true) {
            let head = request.target().0 == "HEAD";
            let answer = self.answer(&request, &mut upstream);
            let Some(answer) = answer else { break };
            answer.write(&mut writer, !head).ok()?;
        }
        // Whatever is left of it, the process sees its end.
        let _ = writer.shutdown(Shutdown::Both);
        Some(())
    }

    /// The answer to a request; without one the connection is closed.
    fn answer(&self, request: &Message, upstream: &mut Option<Connection>) -> Option<Message> {
        let call = Call::of(request);
        let (index, how) = self.note(&call);
        match how {
            None => self.forward(index, request, upstream),
            Some(How::Refuse) => Some(refusal(&call)),
            Some(How::Throttle) => Some(throttling(&call)),
            Some(How::LoseAnswer) => self.forward(index, request, upstream).and(None),
            Some(How::FailAfter) => self.forward(index, request, upstream).map(|_| internal(&call)),
            Some(How::Delay(time)) => {
                std::thread::sleep(time);
                self.forward(index, request, upstream)
            }
            Some(How::HoldBefore) => {
                self.hold(&call)?;
                self.forward(index, request, upstream)
            }
            Some(How::HoldAfter) => {
                let answer = self.forward(index, request, upstream);
                self.hold(&call)?;
                answer
            }
        }
    }

    /// Notes a call, and takes the rule that is for it.
    fn note(&self, call: &Call) -> (usize, Option<How>) {
        let name = call.name();
        let mut state = self.state();
        state.changes += usize::from(mutating(&name));
        let change = state.changes;
        let count = state.counts.entry(name.clone()).or_default();
        *count += 1;
        let nth = *count;
        let found = state.rules.iter().position(|rule| rule.at.is(&name, change, nth));
        let how = found.map(|found| state.rules.remove(found).how);
        state.seen.push(Seen { call: name, status: 0, etag: None });
        (state.seen.len() - 1, how)
    }

    fn hold(&self, call: &Call) -> Option<()> {
        let (open, opened) = channel();
        let held = Held { call: call.name(), open };
        self.held.lock().unwrap_or_else(PoisonError::into_inner).send(held).ok()?;
        opened.recv_timeout(FORGOTTEN).ok()
    }

    fn forward(&self, index: usize, request: &Message, upstream: &mut Option<Connection>) -> Option<Message> {
        self.state().running += 1;
        let answer = self.exchange(request, upstream);
        let mut state = self.state();
        state.running -= 1;
        let answer = answer?;
        state.seen[index].status = answer.status();
        state.seen[index].etag = answer.header("etag").map(str::to_owned);
        Some(answer)
    }

    fn exchange(&self, request: &Message, upstream: &mut Option<Connection>) -> Option<Message> {
        // One try, as between the process and the endpoint: a fault that nobody asked for has to be seen.
        let mut connection = match upstream.take() {
            Some(connection) => connection,
            None => Connection::new(&self.upstream).ok()?,
        };
        let answer = connection.exchange(request).ok()?;
        let close = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if !close {
            *upstream = Some(connection);
        }
        Some(answer)
    }
}
