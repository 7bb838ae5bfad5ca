//! What stands between one process of the tool and the endpoint.

use crate::Problem;
use crate::calls::{Call, is_write};
use crate::fault::{FaultAction, FaultRule, internal, refusal, throttling};
use crate::http::{Connection, Message};
use std::collections::HashMap;
use std::io::BufReader;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest time that a call is held, when a test forgets it.
const HOLD_TIMEOUT: Duration = Duration::from_secs(300);

/// A call that came through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedCall {
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
    held: Receiver<HeldCall>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    state: Mutex<State>,
    held: Mutex<Sender<HeldCall>>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<FaultRule>,
    seen: Vec<RecordedCall>,
    counts: HashMap<String, usize>,
    writes: usize,
    forwarding: usize,
    closed: bool,
}

/// A call that is held. Dropping it drops the call.
#[derive(Debug)]
pub struct HeldCall {
    /// `service:Action`
    pub call: String,
    release: Sender<()>,
}

impl HeldCall {
    /// Lets it go on.
    pub fn release(self) {
        // Nobody waits for it any more when it was held for too long.
        let _ = self.release.send(());
    }
}

impl Proxy {
    /// Starts one before the endpoint at `upstream`.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(upstream: &str, rules: Vec<FaultRule>) -> Result<Self, Problem> {
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
    pub fn pass_through(upstream: &str) -> Result<Self, Problem> {
        Self::start(upstream, Vec::new())
    }

    /// Waits a moment for a call to be held.
    #[must_use]
    pub fn wait_for_held(&self, moment: Duration) -> Option<HeldCall> {
        self.held.recv_timeout(moment).ok()
    }

    /// All calls so far, in the order in which they came.
    #[must_use]
    pub fn seen(&self) -> Vec<RecordedCall> {
        self.shared.state().seen.clone()
    }

    /// The calls so far that change something.
    #[must_use]
    pub fn writes(&self) -> Vec<RecordedCall> {
        self.seen().into_iter().filter(|seen| is_write(&seen.call)).collect()
    }

    /// Whether every rule has met its call.
    #[must_use]
    pub fn all_rules_applied(&self) -> bool {
        self.shared.state().rules.is_empty()
    }

    /// Waits until what was handed on to the endpoint has been done.
    pub fn wait_until_idle(&self) {
        for _ in 0..2000 {
            if self.shared.state().forwarding == 0 {
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
        let call = Call::parse(request);
        let (index, action) = self.record(&call);
        match action {
            None => self.forward(index, request, upstream),
            Some(FaultAction::Refuse) => Some(refusal(&call)),
            Some(FaultAction::Throttle) => Some(throttling(&call)),
            Some(FaultAction::LoseAnswer) => self.forward(index, request, upstream).and(None),
            Some(FaultAction::FailAfter) => self.forward(index, request, upstream).map(|_| internal(&call)),
            Some(FaultAction::Delay(time)) => {
                std::thread::sleep(time);
                self.forward(index, request, upstream)
            }
            Some(FaultAction::HoldBefore) => {
                self.hold(&call)?;
                self.forward(index, request, upstream)
            }
            Some(FaultAction::HoldAfter) => {
                let answer = self.forward(index, request, upstream);
                self.hold(&call)?;
                answer
            }
        }
    }

    /// Notes a call, and takes the rule that is for it.
    fn record(&self, call: &Call) -> (usize, Option<FaultAction>) {
        let name = call.name();
        let mut state = self.state();
        state.writes += usize::from(is_write(&name));
        let write = state.writes;
        let count = state.counts.entry(name.clone()).or_default();
        *count += 1;
        let nth = *count;
        let found = state.rules.iter().position(|rule| rule.at.matches(&name, write, nth));
        let action = found.map(|found| state.rules.remove(found).action);
        state.seen.push(RecordedCall { call: name, status: 0, etag: None });
        (state.seen.len() - 1, action)
    }

    fn hold(&self, call: &Call) -> Option<()> {
        let (release, released) = channel();
        let held = HeldCall { call: call.name(), release };
        self.held.lock().unwrap_or_else(PoisonError::into_inner).send(held).ok()?;
        released.recv_timeout(HOLD_TIMEOUT).ok()
    }

    fn forward(&self, index: usize, request: &Message, upstream: &mut Option<Connection>) -> Option<Message> {
        self.state().forwarding += 1;
        let answer = self.exchange(request, upstream);
        let mut state = self.state();
        state.forwarding -= 1;
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
