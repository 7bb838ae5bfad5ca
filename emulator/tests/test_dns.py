"""Public DNS of an account: answers from its zones, aliases, overrides, UDP and TCP."""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import Any

import pytest
from conftest import Aws, control

KINDS = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28, "CAA": 257, "HTTPS": 65}
CODES = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN"}
TRUNCATED = 0x0200
Answer = tuple[str, list[tuple[str, str, Any]]]


class Client:
    """A DNS client that asks the name server of an account."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        host, port = self.control()["Address"].split(":")
        self.address = (host, int(port))

    def control(self, **wanted: Any) -> dict[str, str]:
        """Calls the control endpoint."""
        return control(self.aws.url, "POST", "dns", {"account": self.aws.account, **wanted})

    def udp(self, message: bytes, timeout: float = 5) -> bytes:
        """Sends a datagram, and returns the answer."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.settimeout(timeout)
            sender.sendto(message, self.address)
            return sender.recv(65535)

    def tcp(self, *messages: bytes) -> list[bytes]:
        """Sends messages over one connection, and returns their answers."""
        answers = []
        with socket.create_connection(self.address, 5) as sender, sender.makefile("rb") as stream:
            for message in messages:
                sender.sendall(len(message).to_bytes(2) + message)
                answers.append(stream.read(int.from_bytes(stream.read(2))))
        return answers

    def ask(self, name: str, kind: str) -> Answer:
        """Returns code and records of the answer to a question."""
        return decoded(self.udp(query(name, kind)))

    def values(self, name: str, kind: str) -> list[Any]:
        """Returns the values of the answer, which must be a success."""
        code, found = self.ask(name, kind)
        assert code == "NOERROR"
        return [value for _, _, value in found]


def wire_name(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def query(name: str, kind: str, edns: int = 1232) -> bytes:
    """Returns a query; `edns` is the size of a datagram that the client accepts, 0 for a query without EDNS."""
    record = struct.pack("!BHHIH", 0, 41, edns, 0, 0) if edns else b""
    header = struct.pack("!6H", 0x1234, 0x0100, 1, 0, 0, 1 if edns else 0)
    return header + wire_name(name) + struct.pack("!HH", KINDS[kind], 1) + record


def flags_of(answer: bytes) -> int:
    return int(struct.unpack_from("!H", answer, 2)[0])


def decoded(answer: bytes) -> Answer:
    """Returns code and records of an answer."""
    identity, flags, questions, count, _, _ = struct.unpack_from("!6H", answer)
    assert identity == 0x1234 and flags & 0x8180 == 0x8180 and questions == 1
    _, position = read_name(answer, 12)
    position += 4
    found = []
    for _ in range(count):
        name, position = read_name(answer, position)
        number, _, _, length = struct.unpack_from("!HHIH", answer, position)
        kind = next(known for known, its in KINDS.items() if its == number)
        found.append((name, kind, value_of(kind, answer[position + 10 : position + 10 + length])))
        position += 10 + length
    return CODES[flags & 15], found


def read_name(data: bytes, position: int) -> tuple[str, int]:
    labels = []
    while length := data[position]:
        labels.append(data[position + 1 : position + 1 + length].decode())
        position += 1 + length
    return ".".join(labels), position + 1


def value_of(kind: str, data: bytes) -> Any:
    if kind in ("A", "AAAA"):
        return str(ipaddress.ip_address(data))
    if kind in ("NS", "CNAME"):
        return read_name(data, 0)[0]
    if kind == "CAA":
        return data[0], data[2 : 2 + data[1]].decode(), data[2 + data[1] :].decode()
    return data


class Zone:
    """A public or private hosted zone."""

    def __init__(self, aws: Aws, name: str, **settings: Any) -> None:
        self.aws = aws
        made = aws.route53.create_hosted_zone(Name=name, CallerReference=f"{name}-{len(settings)}", **settings)
        self.id, self.servers = made["HostedZone"]["Id"], made.get("DelegationSet", {}).get("NameServers", [])

    def put(self, name: str, kind: str, *values: str, **settings: Any) -> None:
        """Creates or replaces a record set."""
        content = settings or {"TTL": 60, "ResourceRecords": [{"Value": value} for value in values]}
        change = {"Action": "UPSERT", "ResourceRecordSet": {"Name": name, "Type": kind, **content}}
        self.aws.route53.change_resource_record_sets(HostedZoneId=self.id, ChangeBatch={"Changes": [change]})


@pytest.fixture
def zone(aws: Aws) -> Zone:
    return Zone(aws, "example.org")


@pytest.fixture
def dns(aws: Aws) -> Client:
    return Client(aws)


def test_zone_answers_with_its_records(zone: Zone, dns: Client) -> None:
    zone.put("www.example.org", "A", "192.0.2.1", "192.0.2.2")
    zone.put("www.example.org", "TXT", '"a \\"b\\"" "c"')
    zone.put("example.org", "CAA", '0 issue "amazon.com"', '128 iodef "mailto:a@example.org"')
    zone.put("example.org", "MX", "10 mail.example.org")
    assert sorted(dns.values("example.org", "NS")) == sorted(zone.servers) != []
    assert dns.values("WWW.Example.org", "A") == ["192.0.2.1", "192.0.2.2"]
    assert dns.values("www.example.org", "TXT") == [b'\x05a "b"\x01c']
    assert dns.values("example.org", "CAA") == [(0, "issue", "amazon.com"), (128, "iodef", "mailto:a@example.org")]
    assert dns.values("example.org", "MX") == [b"\0\x0a\x04mail\x07example\x03org\0"]
    assert len(dns.values("example.org", "SOA")) == 1


def test_missing_name_and_missing_type_differ(zone: Zone, dns: Client) -> None:
    zone.put("a.b.example.org", "A", "192.0.2.1")
    assert dns.ask("a.b.example.org", "CAA") == ("NOERROR", [])
    assert dns.ask("a.b.example.org", "HTTPS") == ("NOERROR", [])
    assert dns.ask("b.example.org", "A") == ("NOERROR", []), "a name above a record exists"
    assert dns.ask("c.example.org", "A") == ("NXDOMAIN", [])
    assert dns.ask("org", "CAA") == ("NOERROR", []), "outside of the account's zones"
    assert dns.ask("elsewhere.example", "NS") == ("NOERROR", [])


def test_later_answer_shows_a_change(zone: Zone, dns: Client) -> None:
    name = "_a1.example.org"
    assert dns.ask(name, "CNAME") == ("NXDOMAIN", [])
    zone.put(name, "CNAME", "_b2.acm-validations.aws.")
    assert dns.values(name, "CNAME") == ["_b2.acm-validations.aws"]


def test_cname_is_followed_within_and_outside_of_zones(zone: Zone, dns: Client) -> None:
    zone.put("www.example.org", "CNAME", "web.example.org")
    zone.put("web.example.org", "A", "192.0.2.1")
    zone.put("out.example.org", "CNAME", "web.example.net")
    zone.put("loop.example.org", "CNAME", "loop.example.org")
    expected = [("www.example.org", "CNAME", "web.example.org"), ("web.example.org", "A", "192.0.2.1")]
    assert dns.ask("www.example.org", "A") == ("NOERROR", expected)
    assert dns.values("www.example.org", "CNAME") == ["web.example.org"]
    assert dns.values("out.example.org", "CAA") == ["web.example.net"]
    assert dns.ask("loop.example.org", "A") == ("SERVFAIL", [])


def test_alias_has_an_address(aws: Aws, zone: Zone, dns: Client) -> None:
    balancer = aws.network().balancer()
    target = {"HostedZoneId": balancer["CanonicalHostedZoneId"], "DNSName": balancer["DNSName"]}
    zone.put("www.example.org", "A", AliasTarget={**target, "EvaluateTargetHealth": False})
    zone.put("web.example.org", "A", "192.0.2.7")
    local = {"HostedZoneId": zone.id.rsplit("/", 1)[-1], "DNSName": "web.example.org", "EvaluateTargetHealth": False}
    zone.put("local.example.org", "A", AliasTarget=local)
    assert dns.ask("www.example.org", "A") == ("NOERROR", [("www.example.org", "A", "127.0.0.1")])
    assert dns.ask("www.example.org", "AAAA") == ("NOERROR", [])
    assert dns.ask("local.example.org", "A") == ("NOERROR", [("local.example.org", "A", "192.0.2.7")])


def test_wildcard_stands_for_names_without_records(zone: Zone, dns: Client) -> None:
    zone.put("*.example.org", "A", "192.0.2.1")
    zone.put("www.example.org", "TXT", '"x"')
    assert dns.ask("any.example.org", "A") == ("NOERROR", [("any.example.org", "A", "192.0.2.1")])
    assert dns.values("a.b.example.org", "A") == ["192.0.2.1"]
    assert dns.values("www.example.org", "A") == []
    assert dns.ask("a.www.example.org", "A") == ("NXDOMAIN", []), "the closest parent that exists has no wildcard"


def test_delegated_name_is_outside_of_the_zone(aws: Aws, zone: Zone, dns: Client) -> None:
    zone.put("sub.example.org", "NS", "ns1.example.net")
    zone.put("sub.example.org", "CAA", '0 issue ";"')
    assert dns.values("sub.example.org", "NS") == ["ns1.example.net"]
    assert dns.values("sub.example.org", "CAA") == []
    assert dns.ask("www.sub.example.org", "A") == ("NOERROR", [])
    child = Zone(aws, "sub.example.org")
    child.put("www.sub.example.org", "A", "192.0.2.1")
    assert dns.values("www.sub.example.org", "A") == ["192.0.2.1"]


def test_private_zones_and_other_accounts_are_hidden(aws: Aws, server: str, dns: Client) -> None:
    vpc = {"VPCRegion": aws.region, "VPCId": aws.network().vpc}
    Zone(aws, "example.org", VPC=vpc, HostedZoneConfig={"PrivateZone": True})
    Zone(Aws(server, "299999999991"), "example.net")
    assert dns.ask("example.org", "NS") == ("NOERROR", [])
    assert dns.ask("example.net", "NS") == ("NOERROR", [])


def test_overrides_replace_answers_until_replaced(zone: Zone, dns: Client) -> None:
    zone.put("www.example.org", "A", "192.0.2.1")
    dns.control(
        Overrides=[
            {"Name": "example.org", "Type": "NS", "Values": ["ns1.example.net"]},
            {"Name": "ORG.", "Type": "CAA", "Values": ['0 issue ";"']},
            {"Name": "www.example.org", "Type": "CAA", "Status": "SERVFAIL"},
            {"Name": "gone.example.org", "Status": "NXDOMAIN"},
            {"Name": "example.org", "Type": "TXT", "Values": []},
        ]
    )
    assert dns.values("example.org", "NS") == ["ns1.example.net"]
    assert dns.values("org", "CAA") == [(0, "issue", ";")]
    assert dns.ask("www.example.org", "CAA") == ("SERVFAIL", [])
    assert dns.ask("gone.example.org", "A") == ("NXDOMAIN", [])
    assert dns.values("example.org", "TXT") == []
    assert dns.values("www.example.org", "A") == ["192.0.2.1"], "other types are answered from the zone"
    dns.control()
    assert dns.values("example.org", "NS") == ["ns1.example.net"], "a call without overrides keeps them"
    dns.control(Overrides=[])
    assert sorted(dns.values("example.org", "NS")) == sorted(zone.servers)


def test_silence_over_udp_and_tcp(zone: Zone, dns: Client) -> None:
    dns.control(Overrides=[{"Name": "example.org", "Type": "CAA", "Status": "SILENT"}])
    with pytest.raises(TimeoutError):
        dns.udp(query("example.org", "CAA"), timeout=0.2)
    with socket.create_connection(dns.address, 0.2) as sender, pytest.raises(TimeoutError):
        message = query("example.org", "CAA")
        sender.sendall(len(message).to_bytes(2) + message)
        sender.recv(1)


def test_long_answer_is_truncated_over_udp_only(zone: Zone, dns: Client) -> None:
    zone.put("example.org", "CAA", *[f'0 issue "ca{number}.example"' for number in range(20)])
    without_edns = dns.udp(query("example.org", "CAA", edns=0))
    assert flags_of(without_edns) & TRUNCATED and decoded(without_edns) == ("NOERROR", [])
    assert len(decoded(dns.udp(query("example.org", "CAA", edns=4096)))[1]) == 20
    zone.put("example.org", "CAA", *[f'0 issue "ca{number}.example"' for number in range(60)])
    assert flags_of(dns.udp(query("example.org", "CAA", edns=4096))) & TRUNCATED
    first, second = dns.tcp(query("example.org", "CAA"), query("example.org", "NS"))
    assert not flags_of(first) & TRUNCATED and len(decoded(first)[1]) == 60
    assert len(decoded(second)[1]) == len(zone.servers)


def test_invalid_overrides_are_refused(dns: Client) -> None:
    for override in (
        {"Name": "example.org", "Type": "XX", "Values": []},
        {"Name": "example.org", "Type": "A", "Status": "OK"},
        {"Name": "example.org", "Type": "A", "Values": ["192.0.2"]},
        {"Name": "example.org", "Values": ["192.0.2.1"]},
        {"Name": "example.org", "Type": "A", "Values": ["192.0.2.1"], "Status": "SERVFAIL"},
    ):
        with pytest.raises(OSError, match="400"):
            dns.control(Overrides=[override])


def test_invalid_message_gets_no_answer(dns: Client) -> None:
    for message in (b"", b"\0" * 5, query("example.org", "A")[:20], b"\xff" * 40):
        with pytest.raises(TimeoutError):
            dns.udp(message, timeout=0.1)
    assert dns.ask("example.org", "A") == ("NOERROR", []), "the server still answers"


def test_reset_stops_the_name_server(server: str) -> None:
    aws = Aws(server, "299999999992")
    zone, dns = Zone(aws, "example.org"), Client(aws)
    assert len(dns.values("example.org", "NS")) == len(zone.servers)
    assert dns.control() == dns.control(), "one server for each account"
    control(server, "POST", "reset")
    with pytest.raises(OSError):
        dns.tcp(query("example.org", "NS"))
