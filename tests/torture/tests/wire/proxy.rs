//! Tests of the proxy: each fault has its documented effect.

#![expect(clippy::unwrap_used, reason = "test helpers may panic")]

use pb_torture::{CallMatcher, FaultAction, FaultRule, Problem, Proxy, RecordedCall, exchange};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Starts a server that counts requests and responds with `done`.
fn upstream() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut length, mut line) = (0, String::new());
            while reader.read_line(&mut line).unwrap_or_default() > 2 {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            let mut stream = stream;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"1\"\r\nContent-Length: 4\r\n\r\ndone")
                .unwrap();
        }
    });
    (url, count)
}

/// Calls `ec2:CreateVpc` through the proxy. Returns status and body, or `None` if the connection was closed.
fn call(url: &str) -> Option<String> {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    let head = "POST / HTTP/1.1\r\nAuthorization: AWS4-HMAC-SHA256 Credential=1/20250101/us-east-2/ec2/aws4_request\r\n\
                Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 16\r\n\r\nAction=CreateVpc";
    stream.write_all(head.as_bytes()).unwrap();
    let (mut text, mut bytes) = (String::new(), [0; 1024]);
    while !text.contains("done") && !text.contains("</Response>") {
        match stream.read(&mut bytes).unwrap_or_default() {
            0 => break,
            count => text += &String::from_utf8_lossy(&bytes[..count]),
        }
    }
    (!text.is_empty()).then_some(text)
}

fn proxy_with(action: FaultAction) -> (Proxy, Arc<AtomicUsize>) {
    let (url, count) = upstream();
    (Proxy::start(&url, vec![FaultRule { at: CallMatcher::nth("ec2:CreateVpc", 2), action }]).unwrap(), count)
}

/// Makes three calls. Returns the response to the second call, and the number of calls that the endpoint received.
fn second_call(action: FaultAction) -> (Option<String>, usize) {
    let (proxy, count) = proxy_with(action);
    assert!(call(&proxy.url).unwrap().contains("done"));
    let answer = call(&proxy.url);
    assert!(call(&proxy.url).unwrap().contains("done"), "a rule was applied twice");
    assert!(proxy.all_rules_applied());
    (answer, count.load(Ordering::SeqCst))
}

#[test]
fn refused_call_is_not_executed() {
    let (answer, count) = second_call(FaultAction::Refuse);
    let answer = answer.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("<Code>UnauthorizedOperation</Code>"), "{answer}");
    assert_eq!(count, 2);
}

#[test]
fn throttled_call_is_not_executed() {
    let (answer, count) = second_call(FaultAction::Throttle);
    let answer = answer.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("<Code>RequestLimitExceeded</Code>"), "{answer}");
    assert_eq!(count, 2);
}

#[test]
fn call_with_lost_response_is_executed() {
    assert_eq!(second_call(FaultAction::LoseAnswer), (None, 3));
}

#[test]
fn call_that_fails_afterwards_is_executed() {
    let (answer, count) = second_call(FaultAction::FailAfter);
    assert!(answer.unwrap().starts_with("HTTP/1.1 500"));
    assert_eq!(count, 3);
}

#[test]
fn delayed_call_is_answered() {
    let (answer, count) = second_call(FaultAction::Delay(Duration::from_millis(20)));
    assert!(answer.unwrap().contains("done"));
    assert_eq!(count, 3);
}

/// Holds the first call, and then releases it if `go` is set, or drops it otherwise. Returns the number of calls that
/// the endpoint had received while the call was held, the number at the end, and the response.
fn call_while_held(action: FaultAction, go: bool) -> (usize, usize, Option<String>) {
    let (url, count) = upstream();
    let proxy = Proxy::start(&url, vec![FaultRule { at: CallMatcher::NthWrite(1), action }]).unwrap();
    std::thread::scope(|scope| {
        let url = proxy.url.as_str();
        let asking = scope.spawn(move || call(url));
        let held = proxy.wait_for_held(Duration::from_secs(30)).unwrap();
        assert_eq!(held.call, "ec2:CreateVpc");
        let before = count.load(Ordering::SeqCst);
        if go {
            held.release();
        } else {
            drop(held);
        }
        let answer = asking.join().unwrap();
        (before, count.load(Ordering::SeqCst), answer)
    })
}

#[test]
fn held_call_waits_for_the_test() {
    let (before, after, answer) = call_while_held(FaultAction::HoldBefore, true);
    assert!((before, after) == (0, 1) && answer.unwrap().contains("done"));
    assert_eq!(call_while_held(FaultAction::HoldBefore, false), (0, 0, None));
    let (before, after, answer) = call_while_held(FaultAction::HoldAfter, true);
    assert!((before, after) == (1, 1) && answer.unwrap().contains("done"));
    assert_eq!(call_while_held(FaultAction::HoldAfter, false), (1, 1, None));
}

#[test]
fn recorded_calls_include_their_response() {
    let (url, _) = upstream();
    let proxy = Proxy::pass_through(&url).unwrap();
    call(&proxy.url).unwrap();
    let seen = RecordedCall { call: "ec2:CreateVpc".into(), status: 200, etag: Some("\"1\"".into()) };
    assert_eq!(proxy.writes(), [seen]);
    let body: Result<String, Problem> = exchange(&proxy.url, "GET", "/x", "");
    assert_eq!(body, Ok("done".into()));
    assert_eq!((proxy.seen().len(), proxy.writes().len()), (2, 2), "a call with an unknown verb counts as a write");
}
