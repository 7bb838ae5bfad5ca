//! A DNS server on loopback, UDP and TCP on one port, with fixed answers.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CAA, CNAME, NS};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// The answer to one question.
#[derive(Debug, Clone)]
pub enum Reply {
    Records(Vec<RData>),
    /// The name is an alias of another one, whatever the type of the question.
    Alias(String),
    /// An empty answer over UDP with the flag that demands TCP, and these records over TCP.
    Truncated(Vec<RData>),
    Code(ResponseCode),
    Silence,
}

type Replies = Arc<Mutex<HashMap<(String, RecordType), Reply>>>;
type Questions = Arc<Mutex<Vec<String>>>;

/// The running server. Its threads end with the test process.
pub struct Server {
    pub address: SocketAddr,
    replies: Replies,
    questions: Questions,
}

impl Server {
    /// Starts a server that answers NODATA to each question without a reply.
    pub fn start() -> Self {
        let (udp, tcp) = sockets();
        let server =
            Self { address: udp.local_addr().unwrap(), replies: Replies::default(), questions: Questions::default() };
        let (replies, questions) = (server.replies.clone(), server.questions.clone());
        thread::spawn(move || serve_udp(&udp, &replies, &questions));
        let (replies, questions) = (server.replies.clone(), server.questions.clone());
        thread::spawn(move || tcp.incoming().flatten().for_each(|stream| serve_tcp(stream, &replies, &questions)));
        server
    }

    /// Sets the reply to questions for a name and type.
    pub fn reply(&self, name: &str, kind: RecordType, reply: Reply) -> &Self {
        self.replies.lock().unwrap().insert((name.to_owned(), kind), reply);
        self
    }

    /// Returns the questions so far, such as `udp CAA example.org.`, without repeated datagrams.
    pub fn questions(&self) -> Vec<String> {
        let mut all = self.questions.lock().unwrap().clone();
        all.dedup();
        all
    }
}

/// Returns the two sockets, on one port. The port of one may be taken for the other.
fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
}

fn serve_udp(socket: &UdpSocket, replies: &Replies, questions: &Questions) {
    let mut buffer = [0; 4096];
    loop {
        let (length, client) = socket.recv_from(&mut buffer).unwrap();
        if let Some(answer) = answer(&buffer[..length], "udp", replies, questions) {
            socket.send_to(&answer, client).unwrap();
        }
    }
}

/// Answers the questions of one connection; each message is preceded by its length. (RFC 1035, section 4.2.2)
fn serve_tcp(mut stream: TcpStream, replies: &Replies, questions: &Questions) {
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut message).unwrap();
        if let Some(answer) = answer(&message, "tcp", replies, questions) {
            stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(&answer).unwrap();
        }
    }
}

fn answer(message: &[u8], protocol: &str, replies: &Replies, questions: &Questions) -> Option<Vec<u8>> {
    let request = Message::from_vec(message).unwrap();
    let question = request.queries[0].clone();
    let (name, kind) = (question.name().clone(), question.query_type());
    questions.lock().unwrap().push(format!("{protocol} {kind} {name}"));
    let relative = name.to_ascii().trim_end_matches('.').to_owned();
    let reply = replies.lock().unwrap().get(&(relative, kind)).cloned();
    let mut response = request.into_response();
    let records = match reply.unwrap_or(Reply::Records(Vec::new())) {
        Reply::Records(records) => records,
        Reply::Alias(target) => vec![RData::CNAME(CNAME(absolute(&target)))],
        Reply::Truncated(records) if protocol == "tcp" => records,
        Reply::Truncated(_) => {
            response.metadata.truncation = true;
            Vec::new()
        }
        Reply::Code(code) => {
            response.metadata.response_code = code;
            Vec::new()
        }
        Reply::Silence => return None,
    };
    response.add_answers(records.into_iter().map(|data| Record::from_rdata(name.clone(), 60, data)));
    Some(response.to_vec().unwrap())
}

fn absolute(name: &str) -> Name {
    Name::from_ascii(format!("{name}.")).unwrap()
}

/// Returns a CAA property of the tag `issue`.
pub fn issue(issuer: &str) -> RData {
    let mut property = CAA::new_issue(false, None, Vec::new());
    property.value = issuer.as_bytes().to_vec();
    RData::CAA(property)
}

pub fn ns(server: &str) -> RData {
    RData::NS(NS(absolute(server)))
}

pub fn cname(target: &str) -> RData {
    RData::CNAME(CNAME(absolute(target)))
}

pub fn a(last: u8) -> RData {
    RData::A(A::new(192, 0, 2, last))
}
