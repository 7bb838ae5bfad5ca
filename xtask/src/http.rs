//! Minimal HTTP client for endpoints on this machine.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Maximum size of a response: the request log of an hour has a few megabytes.
const MAX_RESPONSE_BYTES: u64 = 64 * 1024 * 1024;

/// An HTTP response.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

/// Gets a path of a server; `url` has the form `http://host:port`.
///
/// # Errors
///
/// Fails if the server does not answer in time, or does not answer in HTTP.
pub fn get(url: &str, path: &str, timeout: Duration) -> Result<Response, String> {
    exchange(url, "GET", path, "", timeout)
}

/// Posts JSON to a path of a server.
///
/// # Errors
///
/// Fails if the server does not answer in time, or does not answer in HTTP.
pub fn post(url: &str, path: &str, json: &str, timeout: Duration) -> Result<Response, String> {
    exchange(url, "POST", path, json, timeout)
}

/// Checks that a server listens at the URL, which may also be `https`.
///
/// # Errors
///
/// Fails if the URL is invalid or no connection can be made.
pub fn check_listening(url: &str, timeout: Duration) -> Result<(), String> {
    connect(authority(url)?, timeout).map(drop)
}

/// Returns `host:port` of a URL.
///
/// # Errors
///
/// Fails if the URL has no host, or a scheme other than HTTP.
pub fn authority(url: &str) -> Result<String, String> {
    let (rest, port) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
        (Some(rest), _) => (rest, 80),
        (_, Some(rest)) => (rest, 443),
        _ => return Err(format!("`{url}` does not start with http:// or https://")),
    };
    let host = rest.split('/').next().unwrap_or(rest);
    let named = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    match (host.is_empty() || host.starts_with(':'), named) {
        (true, _) => Err(format!("`{url}` has no host")),
        (false, Some(_)) => Ok(host.to_owned()),
        (false, None) => Ok(format!("{host}:{port}")),
    }
}

fn connect(authority: String, timeout: Duration) -> Result<TcpStream, String> {
    let addresses = authority.to_socket_addrs().map_err(|error| format!("{authority}: {error}"))?;
    let mut last = format!("{authority}: no such host");
    for address in addresses {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(last)
}

fn exchange(url: &str, method: &str, path: &str, json: &str, timeout: Duration) -> Result<Response, String> {
    let authority = authority(url)?;
    let mut stream = connect(authority.clone(), timeout)?;
    let failed = |error: std::io::Error| format!("{authority}: {error}");
    stream.set_read_timeout(Some(timeout)).map_err(failed)?;
    stream.set_write_timeout(Some(timeout)).map_err(failed)?;
    let length = json.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
    let request = format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut bytes = Vec::new();
    read_all(stream, &mut bytes, MAX_RESPONSE_BYTES).map_err(failed)?;
    parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| format!("{authority}: the response is not HTTP"))
}

/// Reads until the end. More than `most` bytes are an error, so that a truncated response is never taken for a complete
/// one.
fn read_all(source: impl Read, bytes: &mut Vec<u8>, most: u64) -> std::io::Result<()> {
    let read = source.take(most + 1).read_to_end(bytes)?;
    if u64::try_from(read).is_ok_and(|read| read <= most) {
        return Ok(());
    }
    Err(std::io::Error::other(format!("the response has more than {most} bytes")))
}

/// Parses a response whose body ends when the connection is closed.
fn parse(text: &str) -> Option<Response> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut words = head.lines().next()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    Some(Response { status: words.next()?.parse().ok()?, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Starts a server that answers once; the thread returns the request.
    fn server(answer: &'static str) -> (String, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let handle = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
            let head = reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty());
            let mut request: Vec<String> = head.collect();
            let length = request.iter().find_map(|line| line.strip_prefix("Content-Length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            reader.read_exact(&mut body).unwrap();
            request.push(String::from_utf8(body).unwrap());
            stream.write_all(answer.as_bytes()).unwrap();
            request
        });
        (url, handle)
    }

    #[test]
    fn get_returns_status_and_body() {
        let (url, handle) = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(get(&url, "/health", SECOND).unwrap(), Response { status: 200, body: "ok".into() });
        assert_eq!(handle.join().unwrap()[0], "GET /health HTTP/1.1");
    }

    #[test]
    fn post_sends_its_body() {
        let (url, handle) = server("HTTP/1.1 400 Bad Request\r\n\r\n{\"error\": \"x\"}");
        let answer = post(&url, "/p", "{\"a\": 1}", SECOND).unwrap();
        assert_eq!(answer, Response { status: 400, body: "{\"error\": \"x\"}".into() });
        assert_eq!(handle.join().unwrap().last().unwrap(), "{\"a\": 1}");
    }

    #[test]
    fn closed_port_and_non_http_server_are_errors() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(get(&format!("http://{closed}"), "/", SECOND).unwrap_err().contains("refused"));
        assert!(check_listening(&format!("http://{closed}"), SECOND).is_err());
        let (url, handle) = server("220 mail ready\r\n\r\n");
        assert!(get(&url, "/", SECOND).unwrap_err().contains("not HTTP"));
        handle.join().unwrap();
    }

    #[test]
    fn silent_server_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        check_listening(&url, SECOND).unwrap();
        get(&url, "/", Duration::from_millis(50)).unwrap_err();
    }

    #[test]
    fn oversized_response_is_an_error() {
        read_all(&b"12345"[..], &mut Vec::new(), 5).unwrap();
        let text = read_all(&b"123456"[..], &mut Vec::new(), 5).unwrap_err().to_string();
        assert!(text.contains("more than 5 bytes"), "{text}");
    }

    #[test]
    fn url_authority_is_parsed() {
        assert_eq!(authority("http://localhost:4566/x").unwrap(), "localhost:4566");
        assert_eq!(authority("http://localhost").unwrap(), "localhost:80");
        assert_eq!(authority("https://aws.test/").unwrap(), "aws.test:443");
        for wrong in ["localhost:4566", "http://", "http://:80", "ftp://x"] {
            authority(wrong).unwrap_err();
        }
    }
}
