"""Public DNS of an account: a name server on loopback that answers from the account's public hosted zones.

It answers like a recursive name server if every public zone is delegated to Route 53. A test replaces single answers,
for example the CAA records of a parent that is not in the account.
"""

from __future__ import annotations

import contextlib
import socketserver
import struct
import threading
from typing import Any

from moto.route53.models import FakeZone

from .dns_messages import CODES, TYPES, Query, Record, Reply, encoded, read_query, write_response
from .patching import Place
from .route53 import normalized_name, records, zones_of

#: Aliases in a row that are followed.
MAX_ALIASES = 8
#: The address of a load balancer; the data plane listens there, too.
BALANCER_ADDRESS = "127.0.0.1"
#: Route 53 returns the asterisk of a wildcard in this form.
WILDCARD = "\\052."
Sets = dict[tuple[str, str], dict[str, Any]]


class PublicDns:
    """The name servers of all accounts, by account."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._servers: dict[str, NameServer] = {}

    def open(self, wanted: dict[str, Any]) -> dict[str, str]:
        """Starts the name server of an account if necessary, replaces its overrides if there are any, and returns its
        address; the caller holds the lock.
        """
        account = wanted["account"]
        overrides = [Override(entry) for entry in wanted.get("Overrides", [])]
        server = self._servers.get(account) or NameServer(account, self._lock)
        self._servers[account] = server
        if "Overrides" in wanted:
            server.overrides = overrides
        return {"Address": f"127.0.0.1:{server.port}"}

    def reset(self) -> None:
        """Stops all name servers."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()


class Override:
    """An answer that replaces that of the zones, for one type of a name or, without `Type`, for all types."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self.name, self.kind = normalized_name(entry["Name"]), entry.get("Type")
        self.values, self.status = entry.get("Values", []), entry.get("Status", "NOERROR")
        if self.kind is not None and self.kind not in TYPES:
            raise ValueError(f"type {self.kind}")
        if self.status not in CODES and self.status != "SILENT":
            raise ValueError(f"status {self.status}")
        if self.values and ("Status" in entry or self.kind is None):
            raise ValueError("values need a type, and no status")
        for record in self.reply().records:
            encoded(record)

    def reply(self) -> Reply:
        """Returns the answer."""
        if self.status == "SILENT":
            return Reply(silent=True)
        return Reply([Record(self.name, self.kind or "", value) for value in self.values], self.status)


class NameServer:
    """The name server of one account: UDP and TCP on one port of 127.0.0.1."""

    def __init__(self, account: str, lock: threading.Lock) -> None:
        self._place, self._lock = Place(account, "us-east-1"), lock
        self.overrides: list[Override] = []
        self._udp, self._tcp = sockets(self)
        self.port = int(self._udp.server_address[1])
        for server in (self._udp, self._tcp):
            threading.Thread(target=server.serve_forever, args=(0.5,), daemon=True).start()

    def close(self) -> None:
        """Stops the servers. Their threads end within half a second."""
        for server in (self._udp, self._tcp):
            server.socket.close()
            threading.Thread(target=server.shutdown, daemon=True).start()

    def response(self, message: bytes, limited: bool) -> bytes | None:
        """Returns the response to a message, or `None` for silence."""
        try:
            query = read_query(message)
        except (ValueError, IndexError, struct.error):
            return None
        with self._lock:
            reply = self.reply(query)
        return None if reply.silent else write_response(query, reply, limited)

    def reply(self, query: Query) -> Reply:
        """Returns the answer to a query, and follows aliases."""
        name, found = normalized_name(query.name), []
        for _ in range(MAX_ALIASES):
            reply = self._overridden(name, query.kind) or zone_reply(self._place, name, query.kind)
            found += reply.records
            last = reply.records[-1] if reply.records else None
            if query.kind == "CNAME" or last is None or last.kind != "CNAME":
                return Reply(found, reply.code, reply.silent)
            name = normalized_name(last.value)
        return Reply(code="SERVFAIL")

    def _overridden(self, name: str, kind: str) -> Reply | None:
        for override in self.overrides:
            if override.name == name and override.kind in (kind, "CNAME", None):
                return override.reply()
        return None


def zone_reply(place: Place, name: str, kind: str) -> Reply:
    """Returns the answer of the public zone that has a name, without following aliases.

    A name outside of all zones exists and has no records, so that the parents of a zone have no CAA records.
    """
    zone = zone_of(place, name)
    if zone is None:
        return Reply()
    sets: Sets = {(at, of): found for (at, of, _), found in reversed(records(zone).items())}
    apex = normalized_name(zone.name)
    cut = delegated_name(sets, apex, name)
    if cut is not None and (cut, kind) != (name, "NS"):
        return Reply()
    source = name if exists(sets, name) else wildcard_of(sets, apex, name)
    if source is None:
        return Reply(code="NXDOMAIN")
    found = sets.get((source, "CNAME")) or sets.get((source, kind))
    return Reply(records_of(place, name, found) if found else [])


def zone_of(place: Place, name: str) -> FakeZone | None:
    """Returns the public zone with the longest name that ends a name; of two zones of this name, the first."""
    public = [zone for zone in zones_of(place).values() if not zone.private_zone]
    matching = [zone for zone in public if is_below(name, normalized_name(zone.name))]
    return max(matching, key=lambda zone: len(zone.name), default=None)


def is_below(name: str, parent: str) -> bool:
    """Returns whether a name is its parent or below it."""
    return name == parent or name.endswith(f".{parent}")


def exists(sets: Sets, name: str) -> bool:
    """Returns whether a name has records, or a name below it has."""
    return any(is_below(at, name) for at, _ in sets)


def delegated_name(sets: Sets, apex: str, name: str) -> str | None:
    """Returns the name between the apex and a name, or the name itself, that is delegated to other name servers."""
    while name != apex:
        if (name, "NS") in sets:
            return name
        name = name.split(".", 1)[1]
    return None


def wildcard_of(sets: Sets, apex: str, name: str) -> str | None:
    """Returns the wildcard that stands for a name without records: that of the closest parent that exists."""
    parent = name
    while parent != apex:
        parent = parent.split(".", 1)[1]
        if exists(sets, parent):
            return f"{WILDCARD}{parent}" if exists(sets, f"{WILDCARD}{parent}") else None
    return None


def records_of(place: Place, name: str, found: dict[str, Any]) -> list[Record]:
    """Returns the records of a record set; an alias has the records of its target in a zone, or an address."""
    kind = found["Type"]
    alias = found.get("AliasTarget")
    if alias is None:
        return [Record(name, kind, value["Value"], int(found["TTL"])) for value in found["ResourceRecords"]]
    target = normalized_name(alias["DNSName"])
    if zone_of(place, target) is not None and target != name:
        return [Record(name, kind, one.value, one.ttl) for one in zone_reply(place, target, kind).records]
    return [Record(name, kind, BALANCER_ADDRESS)] if kind == "A" else []


class UdpServer(socketserver.ThreadingUDPServer):
    """A UDP server whose threads do not keep the process alive."""

    daemon_threads = True


class TcpServer(socketserver.ThreadingTCPServer):
    """A TCP server whose threads do not keep the process alive."""

    daemon_threads = True


def sockets(server: NameServer) -> tuple[UdpServer, TcpServer]:
    """Returns the two servers, on one port. The free port of one may be taken for the other."""

    class UdpHandler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            message, socket = self.request
            response = server.response(message, limited=True)
            if response is not None:
                socket.sendto(response, self.client_address)

    class TcpHandler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while len(prefix := self.rfile.read(2)) == 2:
                response = server.response(self.rfile.read(int.from_bytes(prefix)), limited=False)
                if response is not None:
                    self.wfile.write(len(response).to_bytes(2) + response)

    for _ in range(100):
        tcp = TcpServer(("127.0.0.1", 0), TcpHandler)
        with contextlib.suppress(OSError):
            return UdpServer(("127.0.0.1", tcp.server_address[1]), UdpHandler), tcp
        tcp.server_close()
    raise OSError("no port is free for UDP and TCP")
