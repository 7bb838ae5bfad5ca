"""DNS messages on the wire: reads a query, and writes a response with the record types of Route 53 that matter here.

RFC 1035 defines the messages, RFC 6891 the EDNS record with the size of a datagram, RFC 8659 CAA records.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from dataclasses import dataclass, field

TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "SPF": 99, "CAA": 257,
}  # fmt: skip
TYPE_NAMES = {number: name for name, number in TYPES.items()}
CODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}
EDNS = 41
CLASS_IN = 1
#: Maximum size of a datagram without EDNS, and the one that this server announces.
PLAIN_SIZE, EDNS_SIZE = 512, 1232
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
ESCAPE = re.compile(r"\\([0-7]{3}|.)")


@dataclass(frozen=True)
class Query:
    """A query with one question; `name` ends with a dot and is in lower case."""

    id: int
    flags: int
    question: bytes
    name: str
    kind: str
    #: The size of a datagram that the client accepts.
    size: int
    edns: bool


@dataclass(frozen=True)
class Record:
    """A record with its value in the notation of Route 53."""

    name: str
    kind: str
    value: str
    ttl: int = 60


@dataclass
class Reply:
    """The content of a response; a silent reply is never sent."""

    records: list[Record] = field(default_factory=list)
    code: str = "NOERROR"
    silent: bool = False


def read_query(data: bytes) -> Query:
    """Returns the query in a message, or raises ValueError or struct.error."""
    identity, flags, questions, answers, authorities, additionals = struct.unpack_from("!6H", data)
    if flags & 0x8000 or questions != 1 or answers or authorities:
        raise ValueError("not a query with one question")
    labels, position = [], 12
    while length := data[position]:
        if length > 63:
            raise ValueError("a question with a compressed name")
        labels.append(data[position + 1 : position + 1 + length].decode("ascii"))
        position += 1 + length
    (number,) = struct.unpack_from("!H", data, position + 1)
    question = data[12 : position + 5]
    position += 5
    edns, size = False, PLAIN_SIZE
    if additionals and data[position] == 0:  # EDNS is the record of the root
        kind, announced = struct.unpack_from("!HH", data, position + 1)
        edns, size = kind == EDNS, max(announced, PLAIN_SIZE) if kind == EDNS else PLAIN_SIZE
    name = "".join(f"{label}." for label in labels).lower() or "."
    return Query(identity, flags, question, name, kind_name(number), size, edns)


def kind_name(number: int) -> str:
    """Returns the name of a record type, or `TYPE64` for one that this module does not know."""
    return TYPE_NAMES.get(number, f"TYPE{number}")


def write_response(query: Query, reply: Reply, limited: bool) -> bytes:
    """Returns the response to a query; `limited` truncates it to the size that the client accepts."""
    # QR, and RA because a client expects a recursive name server; opcode and RD are those of the query.
    flags = 0x8080 | (query.flags & 0x7900) | CODES[reply.code]
    edns = struct.pack("!BHHIH", 0, EDNS, EDNS_SIZE, 0, 0) if query.edns else b""
    answers = b"".join(encoded(record) for record in reply.records)
    count = len(reply.records)
    if limited and 12 + len(query.question) + len(answers) + len(edns) > min(query.size, EDNS_SIZE):
        flags, answers, count = flags | 0x0200, b"", 0
    header = struct.pack("!6H", query.id, flags, 1, count, 0, 1 if edns else 0)
    return header + query.question + answers + edns


def encoded(record: Record) -> bytes:
    """Returns a record as bytes, without compression of names."""
    data = encoded_value(record.kind, record.value)
    return encoded_name(record.name) + struct.pack("!HHIH", TYPES[record.kind], CLASS_IN, record.ttl, len(data)) + data


def encoded_name(name: str) -> bytes:
    """Returns a name as bytes; octal escapes as in `\\052` are decoded."""
    found = b""
    for label in name.rstrip(".").split("."):
        raw = unescaped(label)
        if len(raw) > 63:
            raise ValueError(f"a label of {name} has more than 63 bytes")
        found += bytes([len(raw)]) + raw if raw else b""
    return found + b"\0"


def unescaped(text: str) -> bytes:
    """Returns text with Route 53's escapes as bytes."""

    def decoded(match: re.Match[str]) -> str:
        return chr(int(match[1], 8)) if len(match[1]) == 3 else match[1]

    return ESCAPE.sub(decoded, text).encode("latin-1")


def encoded_value(kind: str, value: str) -> bytes:
    """Returns the value of a record as bytes."""
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(value).packed
    if kind in ("NS", "CNAME", "PTR"):
        return encoded_name(value)
    if kind in ("TXT", "SPF"):
        texts = [unescaped(text) for text in QUOTED.findall(value)] or [value.encode()]
        return b"".join(bytes([len(text)]) + text for text in texts)
    if kind == "MX":
        preference, host = value.split()
        return struct.pack("!H", int(preference)) + encoded_name(host)
    if kind == "SRV":
        priority, weight, port, host = value.split()
        return struct.pack("!HHH", int(priority), int(weight), int(port)) + encoded_name(host)
    if kind == "SOA":
        server, contact, *numbers = value.split()
        return encoded_name(server) + encoded_name(contact) + struct.pack("!5I", *map(int, numbers))
    if kind == "CAA":
        flags, tag, issuer = value.split(None, 2)
        quoted = QUOTED.fullmatch(issuer)
        return bytes([int(flags), len(tag)]) + tag.encode() + unescaped(quoted[1] if quoted else issuer)
    raise ValueError(f"records of type {kind} cannot be written")
