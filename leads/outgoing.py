"""The one way out to an address that somebody typed in: POST JSON, and never into our own network."""

import http.client
import io
import ipaddress
import json
import socket
import ssl
import time
from typing import Any, NamedTuple, override
from urllib.parse import quote, urlsplit

from django.conf import settings

TIMEOUT = 10.0  # seconds, for everything after the name was resolved
MAX_ANSWER = 64 * 1024
UNTOUCHED = "/%:@!$&'()*+,;=~-._?"  # in paths and queries; anything else is escaped
PORTS = {"http": 80, "https": 443}
# Addresses that Python calls global and that lead back inside all the same: translated, tunneled or site-local ones.
LEADING_INSIDE = [ipaddress.ip_network(net) for net in ("64:ff9b::/96", "2002::/16", "2001::/32", "fec0::/10", "192.0.0.0/24")]

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class RefusedAddress(ValueError):
    """The URL is not one we post to; the sentence says why and what would be."""


class PostFailed(Exception):
    """The other side could not be reached, was too slow or did not answer with 2xx."""


class Target(NamedTuple):
    """A URL that may be asked: host in ASCII, path with query."""

    scheme: str
    host: str
    port: int
    path: str
    private_allowed: bool


def check_url(url: str) -> Target:
    """Take the URL apart and refuse what can be refused without asking the name server. Raises RefusedAddress."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError as error:
        raise RefusedAddress(f"The URL cannot be read ({error}); write one like https://hooks.example.com/….") from error
    if parts.scheme not in PORTS or not host:
        raise RefusedAddress("The URL must begin with https:// or http:// and name a host, like https://hooks.example.com/….")
    if parts.username is not None:
        raise RefusedAddress("The URL must not carry a user name or password.")
    allowed = host in settings.PRIVATE_HOSTS_ALLOWED
    port = port or PORTS[parts.scheme]
    if port not in PORTS.values() and not allowed:
        raise RefusedAddress(f"Port {port} is refused: only 80 and 443, unless the host is in PRIVATE_HOSTS_ALLOWED.")
    literal = literal_address(host)
    if literal is not None and not allowed:
        check_address(host, literal)
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (
        f"?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?')}" if parts.query else ""
    )
    return Target(parts.scheme, host, port, path, allowed)


def literal_address(host: str) -> Address | None:
    """The address when the host is written as one, in any form a resolver takes (2130706433 is 127.0.0.1 too)."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def check_address(host: str, address: Address) -> None:
    """Raise RefusedAddress unless the address is out in the public internet."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    real = mapped or address
    inside = any(real.version == net.version and real in net for net in LEADING_INSIDE)
    if not real.is_global or real.is_multicast or inside:
        raise RefusedAddress(
            f"{host} leads to {address}, which is not a public address; if you mean it, add {host} to PRIVATE_HOSTS_ALLOWED."
        )


def resolve(target: Target) -> list[str]:
    """The addresses of the host, every one of them checked. Raises RefusedAddress, or PostFailed for an unknown name."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise PostFailed(f"The name {target.host} could not be resolved: {error}") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not target.private_allowed:
            check_address(target.host, ipaddress.ip_address(address))
    return addresses


class Reader(io.RawIOBase):
    """Reads a socket until a deadline, however slowly the other side drips."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock, self.deadline = sock, deadline

    @override
    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer with what comes next. Raises TimeoutError past the deadline."""
        self.sock.settimeout(max(self.deadline - time.monotonic(), 0.001))
        return self.sock.recv_into(buffer)


class Wire:
    """What http.client takes for its socket. It is closed by whoever opened it, when the answer was read."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock, self.deadline = sock, deadline

    def sendall(self, data: bytes) -> None:
        """Send everything, in the time that is left."""
        self.sock.settimeout(max(self.deadline - time.monotonic(), 0.001))
        self.sock.sendall(data)

    def makefile(self, *args: Any, **kwargs: Any) -> io.BufferedReader:
        """The answer as a file."""
        return io.BufferedReader(Reader(self.sock, self.deadline))

    def close(self) -> None:
        """Do nothing: the answer may still be unread."""


def connect(target: Target, deadline: float) -> socket.socket:
    """A socket to one of the checked addresses: the name is not resolved a second time, so it cannot change its mind."""
    problem: OSError = TimeoutError("timed out")
    for address in resolve(target):
        try:
            plain = socket.create_connection((address, target.port), timeout=max(deadline - time.monotonic(), 0.001))
        except OSError as error:
            problem = error
            continue
        if target.scheme == "http":
            return plain
        try:
            return ssl.create_default_context().wrap_socket(plain, server_hostname=target.host)
        except BaseException:
            plain.close()
            raise
    raise problem


def post_json(url: str, payload: Any, *, timeout: float = TIMEOUT) -> bytes:
    """POST `payload` as JSON and return at most 64 KB of the answer.

    Raises RefusedAddress when the URL is not one we post to, PostFailed when it went wrong: no answer within
    `timeout` seconds, or one that is not 2xx. Redirects are not followed, proxies from the environment not used.
    """
    target = check_url(url)
    try:
        sock = connect(target, deadline := time.monotonic() + timeout)
        with sock:
            status, answer = converse(sock, deadline, target, json.dumps(payload).encode())
    except (OSError, http.client.HTTPException) as error:
        raise PostFailed(f"{target.host} could not be reached: {str(error) or type(error).__name__}") from error
    if not 200 <= status < 300:
        raise PostFailed(f"{target.host} answered {status}" + (" (redirects are not followed)" if 300 <= status < 400 else ""))
    return answer


def converse(sock: socket.socket, deadline: float, target: Target, body: bytes) -> tuple[int, bytes]:
    """Send the request over an open socket and read the answer: status and body."""
    connection = http.client.HTTPConnection(target.host, target.port)
    if target.port == PORTS[target.scheme]:
        connection.port = connection.default_port  # the Host header names the port only when it is not the scheme's own
    connection.sock = Wire(sock, deadline)
    headers = {"Content-Type": "application/json", "User-Agent": "Leadstate", "Connection": "close"}
    connection.request("POST", target.path, body, headers)
    response = connection.getresponse()
    return response.status, response.read(MAX_ANSWER)
