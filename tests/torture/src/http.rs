//! Minimal HTTP/1.1 for the traffic between the tool and a local endpoint.

use crate::Problem;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longest wait for a response of the endpoint.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(120);

/// A complete request or response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// First line: the request line or the status line.
    pub start: String,
    /// Headers as received.
    pub headers: Vec<(String, String)>,
    /// Body, with chunked encoding removed.
    pub body: Vec<u8>,
}

impl Message {
    /// Creates a response with the content type `kind`.
    #[must_use]
    pub fn response(status: u16, kind: &str, body: String) -> Self {
        let headers = vec![("Content-Type".to_owned(), kind.to_owned())];
        Self { start: format!("HTTP/1.1 {status} Status"), headers, body: body.into_bytes() }
    }

    /// Reads a message. Returns `None` if the connection ends before the message starts.
    ///
    /// # Errors
    /// Fails if the connection breaks within the message, or if the message is not HTTP.
    pub(crate) fn read(reader: &mut impl BufRead, has_body: bool) -> Result<Option<Self>> {
        let Some(start) = line(reader)? else { return Ok(None) };
        let mut headers = Vec::new();
        loop {
            let text = line(reader)?.ok_or(ErrorKind::UnexpectedEof)?;
            if text.is_empty() {
                break;
            }
            let (name, value) = text.split_once(':').ok_or_else(|| Error::other(format!("invalid header: {text}")))?;
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        let mut message = Self { start, headers, body: Vec::new() };
        if has_body {
            message.read_body(reader)?;
        }
        Ok(Some(message))
    }

    fn read_body(&mut self, reader: &mut impl BufRead) -> Result<()> {
        if self.header("transfer-encoding").is_some_and(|value| value.to_lowercase().contains("chunked")) {
            loop {
                let size = line(reader)?.ok_or(ErrorKind::UnexpectedEof)?;
                let digits = size.split(';').next().unwrap_or_default().trim();
                let size = usize::from_str_radix(digits, 16).map_err(Error::other)?;
                let begin = self.body.len();
                self.body.resize(begin + size, 0);
                reader.read_exact(&mut self.body[begin..])?;
                // Skip the line end after the chunk or, after the last chunk, the trailers up to an empty line.
                while line(reader)?.is_some_and(|text| size == 0 && !text.is_empty()) {}
                if size == 0 {
                    return Ok(());
                }
            }
        }
        let length = self.header("content-length").map_or(Ok(0), str::parse).map_err(Error::other)?;
        self.body.resize(length, 0);
        reader.read_exact(&mut self.body)
    }

    /// Returns the value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Writes the complete message with its length. The response to a HEAD request keeps its Content-Length header.
    ///
    /// # Errors
    /// Fails if the connection is broken.
    pub(crate) fn write(&self, to: &mut impl Write, has_body: bool) -> Result<()> {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            let is_replaced =
                ["transfer-encoding", "connection", "keep-alive"].iter().any(|hop| name.eq_ignore_ascii_case(hop))
                    || (has_body && name.eq_ignore_ascii_case("content-length"));
            if !is_replaced {
                text += &format!("{name}: {value}\r\n");
            }
        }
        if has_body {
            text += &format!("Content-Length: {}\r\n", self.body.len());
        }
        to.write_all(&[text.as_bytes(), b"\r\n", &self.body].concat())?;
        to.flush()
    }

    /// Returns the status of a response, or 0 for a request.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default()
    }

    /// Returns the method and target of a request.
    #[must_use]
    pub fn target(&self) -> (&str, &str) {
        let mut words = self.start.split(' ');
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }
}

fn line(reader: &mut impl BufRead) -> Result<Option<String>> {
    let mut bytes = Vec::new();
    if reader.by_ref().take(64 * 1024).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned()))
}

/// A connection to a server.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects to `host:port`.
    pub(crate) fn new(authority: &str) -> Result<Self> {
        let stream = TcpStream::connect(authority)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a request and reads the complete response.
    pub(crate) fn exchange(&mut self, request: &Message) -> Result<Message> {
        request.write(self.0.get_mut(), true)?;
        let head = request.target().0 == "HEAD";
        Message::read(&mut self.0, !head)?.ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }
}

/// Sends one request to the server at `http://host:port` and returns the body of the response.
///
/// # Errors
/// Fails if there is no response with status 200.
pub fn exchange(url: &str, method: &str, path: &str, body: &str) -> std::result::Result<String, Problem> {
    let authority = url.trim_start_matches("http://").trim_end_matches('/');
    let headers =
        vec![("Host".to_owned(), authority.to_owned()), ("Content-Type".to_owned(), "application/json".to_owned())];
    let request = Message { start: format!("{method} {path} HTTP/1.1"), headers, body: body.as_bytes().to_vec() };
    let failed = |error: Error| format!("request to {url}{path} failed: {error}");
    let answer = Connection::new(authority).and_then(|mut to| to.exchange(&request)).map_err(failed)?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    if answer.status() == 200 {
        Ok(text)
    } else {
        Err(format!("{url}{path} responded with {}: {text}", answer.status()))
    }
}

#[cfg(test)]
mod tests {
    use super::Message;

    fn read(text: &str, has_body: bool) -> Message {
        Message::read(&mut text.as_bytes(), has_body).unwrap().unwrap()
    }

    #[test]
    fn chunked_body_equals_body_with_a_length() {
        let long = read("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", true);
        let chunks =
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nA: b\r\n\r\n";
        assert_eq!(long.body, b"hello");
        assert_eq!(read(chunks, true).body, long.body);
    }

    #[test]
    fn truncated_message_fails_and_absent_message_is_none() {
        assert!(Message::read(&mut "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel".as_bytes(), true).is_err());
        assert!(Message::read(&mut "POST / HTTP/1.1\r\nA: b".as_bytes(), true).is_err());
        assert_eq!(Message::read(&mut "".as_bytes(), true).unwrap(), None);
    }

    #[test]
    fn message_round_trips() {
        let message =
            read("HTTP/1.1 200 OK\r\nETag: \"x\"\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", true);
        let mut bytes = Vec::new();
        message.write(&mut bytes, true).unwrap();
        let again = read(&String::from_utf8(bytes).unwrap(), true);
        assert_eq!(
            (again.status(), again.header("etag"), again.body.as_slice()),
            (200, Some("\"x\""), b"a".as_slice())
        );
    }

    #[test]
    fn content_length_of_a_head_response_is_kept() {
        let message = read("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", false);
        let mut bytes = Vec::new();
        message.write(&mut bytes, false).unwrap();
        assert!(String::from_utf8(bytes).unwrap().contains("Content-Length: 7\r\n"));
    }
}
