//! Proxy between one process of the tool and the endpoint.

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

/// Longest time that a call is held if a test does not release it.
const HOLD_TIMEOUT: Duration = Duration::from_secs(300);

/// A call that the proxy received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedCall {
    /// `service:Action` of the call.
    pub call: String,
    /// Status of the endpoint's response; 0 if the call was not forwarded or has no response yet.
    pub status: u16,
    /// Entity tag in the endpoint's response.
    pub etag: Option<String>,
}

/// A proxy for one process. When this value is dropped, the proxy ends and held calls are dropped.
#[derive(Debug)]
pub struct Proxy {
    /// URL to which the process must send its calls.
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

/// A held call. Dropping this value drops the call.
#[derive(Debug)]
pub struct HeldCall {
    /// `service:Action` of the call.
    pub call: String,
    release: Sender<()>,
}

impl HeldCall {
    /// Lets the call continue.
    pub fn release(self) {
        // Sending fails only if the proxy has dropped the call, because the call was held for too long.
        let _ = self.release.send(());
    }
}

impl Proxy {
    /// Starts a proxy for the endpoint at `upstream`.
    ///
    /// # Errors
    /// Fails if no port is available.
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
                // The result is ignored: a connection breaks when the process ends or when a rule requires it.
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Ok(Self { url: format!("http://{address}"), address, shared, held })
    }

    /// Starts a proxy without rules.
    ///
    /// # Errors
    /// The same as for [`Proxy::start`].
    pub fn pass_through(upstream: &str) -> Result<Self, Problem> {
        Self::start(upstream, Vec::new())
    }

    /// Waits for a held call, for up to `moment`.
    #[must_use]
    pub fn wait_for_held(&self, moment: Duration) -> Option<HeldCall> {
        self.held.recv_timeout(moment).ok()
    }

    /// Returns all calls so far, in the order of their arrival.
    #[must_use]
    pub fn seen(&self) -> Vec<RecordedCall> {
        self.shared.state().seen.clone()
    }

    /// Returns the writes so far.
    #[must_use]
    pub fn writes(&self) -> Vec<RecordedCall> {
        self.seen().into_iter().filter(|seen| is_write(&seen.call)).collect()
    }

    /// Returns whether every rule has been applied.
    #[must_use]
    pub fn all_rules_applied(&self) -> bool {
        self.shared.state().rules.is_empty()
    }

    /// Waits until the endpoint has responded to all forwarded calls, for up to 10 s.
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
        // This connection wakes the accepting thread, which then ends.
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
            let answer = self.respond(&request, &mut upstream);
            let Some(answer) = answer else { break };
            answer.write(&mut writer, !head).ok()?;
        }
        // The process must see that the connection has ended. Shutting it down fails only if it is already broken.
        let _ = writer.shutdown(Shutdown::Both);
        Some(())
    }

    /// Returns the response to a request, or `None` to close the connection.
    fn respond(&self, request: &Message, upstream: &mut Option<Connection>) -> Option<Message> {
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

    /// Records a call and removes the rule that matches it, if any. Returns the index of the record and the action of
    /// the rule.
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
        // A single attempt, so that an unexpected fault of the endpoint reaches the process.
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
