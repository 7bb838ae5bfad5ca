//! As much HTTP/1.1 as stands between the tool and an endpoint on this machine.

use crate::Problem;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longest wait for an answer of the endpoint.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(120);

/// A request or an answer, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The first line.
    pub start: String,
    /// The headers, as they came.
    pub headers: Vec<(String, String)>,
    /// The body, without chunks.
    pub body: Vec<u8>,
}

impl Message {
    /// An answer.
    #[must_use]
    pub fn answer(status: u16, kind: &str, body: String) -> Self {
        let headers = vec![("Content-Type".to_owned(), kind.to_owned())];
        Self { start: format!("HTTP/1.1 {status} Status"), headers, body: body.into_bytes() }
    }

    /// Reads one; nothing when the connection has ended before it.
    ///
    /// # Errors
    /// When the connection breaks in it, or it is no HTTP.
    pub(crate) fn read(reader: &mut impl BufRead, has_body: bool) -> Result<Option<Self>> {
        let Some(start) = line(reader)? else { return Ok(None) };
        let mut headers = Vec::new();
        loop {
            let text = line(reader)?.ok_or(ErrorKind::UnexpectedEof)?;
            if text.is_empty() {
                break;
            }
            let (name, value) = text.split_once(':').ok_or_else(|| Error::other(format!("no header: {text}")))?;
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
                // The end of the chunk; after the last one, trailers up to an empty line.
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

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Writes it whole, with its length. What answers a HEAD keeps the length that it was given.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn write(&self, to: &mut impl Write, has_body: bool) -> Result<()> {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            let ours =
                ["transfer-encoding", "connection", "keep-alive"].iter().any(|hop| name.eq_ignore_ascii_case(hop))
                    || (has_body && name.eq_ignore_ascii_case("content-length"));
            if !ours {
                text += &format!("{name}: {value}\r\n");
            }
        }
        if has_body {
            text += &format!("Content-Length: {}\r\n", self.body.len());
        }
        to.write_all(&[text.as_bytes(), b"\r\n", &self.body].concat())?;
        to.flush()
    }

    /// The status of an answer; 0 when it is none.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default()
    }

    /// Method and target of a request.
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

    /// Asks, and reads the whole answer.
    pub(crate) fn exchange(&mut self, request: &Message) -> Result<Message> {
        request.write(self.0.get_mut(), true)?;
        let head = request.target().0 == "HEAD";
        Message::read(&mut self.0, !head)?.ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }
}

/// Asks a server at `http://host:port` once; gives the body of an answer that is 200.
///
/// # Errors
/// When there is no such answer.
pub fn exchange(url: &str, method: &str, path: &str, body: &str) -> std::result::Result<String, Problem> {
    let authority = url.trim_start_matches("http://").trim_end_matches('/');
    let headers =
        vec![("Host".to_owned(), authority.to_owned()), ("Content-Type".to_owned(), "application/json".to_owned())];
    let request = Message { start: format!("{method} {path} HTTP/1.1"), headers, body: body.as_bytes().to_vec() };
    let failed = |error: Error| format!("failed to ask {url}{path}: {error}");
    let answer = Connection::new(authority).and_then(|mut to| to.exchange(&request)).map_err(failed)?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    if answer.status() == 200 { Ok(text) } else { Err(format!("{url}{path} answers {}: {text}", answer.status())) }
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
