"""Posting to an address that somebody typed in never reaches our own network."""

import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from leads import outgoing
from leads.outgoing import PostFailed, RefusedAddress, check_url, post_json

REAL_RESOLVER = socket.getaddrinfo


class Handler(BaseHTTPRequestHandler):
    """Remembers what it got and answers what the test wants."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, dict(self.headers), body))
        self.server.answer(self)

    def log_message(self, *args):
        pass


def answer_ok(handler):
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"ok")


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.requests, server.answer = [], answer_ok
    server.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def resolve_to(monkeypatch, *addresses):
    """Let every name lead to these addresses; literal ones stay what they are."""

    def getaddrinfo(host, port, *args, **kwargs):
        if host not in addresses and host.endswith(".example.com"):
            return [entry for address in addresses for entry in REAL_RESOLVER(address, port, type=socket.SOCK_STREAM)]
        return REAL_RESOLVER(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_json_arrives_with_its_path_and_host(server, settings):
    settings.PRIVATE_HOSTS_ALLOWED = ["127.0.0.1"]

    answer = post_json(f"http://127.0.0.1:{server.port}/services/T1/ü?x=1 2", {"text": "Grüße"})

    [(path, headers, body)] = server.requests
    assert answer == b"ok"
    assert path == "/services/T1/%C3%BC?x=1%202"
    assert headers["Host"] == f"127.0.0.1:{server.port}"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"text": "Grüße"}


def test_proxies_from_the_environment_are_not_used(server, settings, monkeypatch):
    settings.PRIVATE_HOSTS_ALLOWED = ["127.0.0.1"]
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")

    assert post_json(f"http://127.0.0.1:{server.port}/", {}) == b"ok"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.9",
        "198.18.0.1",
        "203.0.113.7",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "2001:db8::1",
    ],
)
def test_an_address_inside_is_refused_written_out_or_behind_a_name(address, monkeypatch):
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(RefusedAddress, match="not a public address"):
        check_url(f"https://{host}/hook")

    resolve_to(monkeypatch, address)
    with pytest.raises(RefusedAddress, match=r"hooks.example.com leads to .*PRIVATE_HOSTS_ALLOWED"):
        post_json("https://hooks.example.com/hook", {})


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1"])
def test_an_address_in_disguise_is_refused(host):
    with pytest.raises(RefusedAddress, match=r"leads to 127\.0\.0\.1"):
        check_url(f"http://{host}/")


@pytest.mark.parametrize("host", ["8.8.8.8", "[2606:4700::1111]", "hooks.slack.com", "bücher.example"])
def test_a_public_address_is_fine(host):
    assert check_url(f"https://{host}/hook").path == "/hook"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "must begin with https://"),
        ("hooks.slack.com/x", "must begin with https://"),
        ("ftp://hooks.slack.com/x", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("https://", "must begin with https://"),
        ("https://user:secret@hooks.slack.com/", "must not carry a user name"),
        ("https://hooks.slack.com:8443/", "Port 8443 is refused"),
        ("http://hooks.slack.com:99999/", "cannot be read"),
        ("https://[::1/", "cannot be read"),
        ("https://a..b/", "cannot be read"),
    ],
)
def test_a_url_of_another_kind_is_refused(url, sentence):
    with pytest.raises(RefusedAddress, match=sentence):
        check_url(url)


def test_one_private_address_among_public_ones_refuses_them_all(monkeypatch):
    resolve_to(monkeypatch, "8.8.8.8", "10.0.0.1")

    with pytest.raises(RefusedAddress, match=r"10\.0\.0\.1"):
        post_json("http://hooks.example.com/", {})


def test_a_name_that_changes_its_mind_is_asked_only_once(server, settings, monkeypatch):
    """DNS rebinding: the address that was checked is the one connected to."""
    asked, connected = [], []

    def getaddrinfo(host, port, *args, **kwargs):
        asked.append(host)
        address = "8.8.8.8" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def create_connection(address, timeout):
        connected.append(address)
        raise ConnectionRefusedError("not in a test")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "create_connection", create_connection)
    with pytest.raises(PostFailed, match=r"rebind\.example\.com could not be reached"):
        post_json("http://rebind.example.com/", {})

    assert asked == ["rebind.example.com"]
    assert connected == [("8.8.8.8", 80)]
    assert server.requests == []


def test_an_allowed_private_host_is_allowed_by_name_only(server, settings, monkeypatch):
    settings.PRIVATE_HOSTS_ALLOWED = ["chat.example.com"]
    resolve_to(monkeypatch, "127.0.0.1")

    assert post_json(f"http://chat.example.com:{server.port}/", {}) == b"ok"
    assert server.requests[0][1]["Host"] == f"chat.example.com:{server.port}"
    with pytest.raises(RefusedAddress):
        post_json("http://other.example.com/", {})


def test_a_redirect_is_not_followed(server, settings):
    settings.PRIVATE_HOSTS_ALLOWED = ["127.0.0.1"]

    def redirect(handler):
        handler.send_response(302)
        handler.send_header("Location", f"http://127.0.0.1:{server.port}/inside")
        handler.end_headers()

    server.answer = redirect
    with pytest.raises(PostFailed, match=r"answered 302 \(redirects are not followed\)"):
        post_json(f"http://127.0.0.1:{server.port}/", {})

    assert len(server.requests) == 1


def test_an_error_of_the_other_side_is_told(server, settings):
    settings.PRIVATE_HOSTS_ALLOWED = ["127.0.0.1"]
    server.answer = lambda handler: handler.send_error(500)

    with pytest.raises(PostFailed, match=r"127\.0\.0\.1 answered 500"):
        post_json(f"http://127.0.0.1:{server.port}/", {})


def test_a_long_answer_is_not_read_to_its_end(server, settings):
    settings.PRIVATE_HOSTS_ALLOWED = ["127.0.0.1"]

    def flood(handler):
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(200):
                handler.wfile.write(b"x" * 10_000)
        except OSError:
            pass

    server.answer = flood

    assert len(post_json(f"http://127.0.0.1:{server.port}/", {})) == outgoing.MAX_ANSWER


@pytest.mark.parametrize("slow", ["headers", "body"])
def test_an_answer_that_drips_ends_at_the_deadline(server, settings, slow):
    settings.PRIVATE_HOSTS_ALLOWED = ["127.0.0.1"]

    def drip(handler):
        if slow == "body":
            handler.send_response(200)
            handler.end_headers()
        try:
            for _ in range(100):
                handler.wfile.write(b"x")
                time.sleep(0.05)
        except OSError:
            pass

    server.answer = drip
    begun = time.monotonic()
    with pytest.raises(PostFailed, match="could not be reached"):
        post_json(f"http://127.0.0.1:{server.port}/", {}, timeout=0.3)

    assert time.monotonic() - begun < 2


def test_nobody_listening_is_told(settings):
    settings.PRIVATE_HOSTS_ALLOWED = ["127.0.0.1"]
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        with pytest.raises(PostFailed, match="could not be reached"):
            post_json(f"http://127.0.0.1:{port}/", {})


def test_an_unknown_name_is_told(monkeypatch):
    def getaddrinfo(*args, **kwargs):
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    with pytest.raises(PostFailed, match=r"hooks\.example\.com could not be resolved"):
        post_json("https://hooks.example.com/", {})


@pytest.fixture
def certificate(tmp_path):
    """A self-signed certificate for chat.example.com."""
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("needs the command openssl to make a certificate")
    pem = tmp_path / "both.pem"
    options = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=chat.example.com -addext subjectAltName=DNS:chat.example.com"
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run([openssl, *options.split(), *files], check=True, capture_output=True)
    pem.write_text((tmp_path / "key.pem").read_text() + (tmp_path / "cert.pem").read_text())
    return pem


def test_tls_names_and_checks_the_host_though_the_address_is_pinned(server, settings, monkeypatch, certificate):
    settings.PRIVATE_HOSTS_ALLOWED = ["chat.example.com", "other.example.com"]
    resolve_to(monkeypatch, "127.0.0.1")
    names = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda sock, name, context: names.append(name)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with pytest.raises(PostFailed, match="CERTIFICATE_VERIFY_FAILED"):
        post_json(f"https://chat.example.com:{server.port}/", {})
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    assert post_json(f"https://chat.example.com:{server.port}/", {"text": "hi"}) == b"ok"
    with pytest.raises(PostFailed, match="CERTIFICATE_VERIFY_FAILED"):
        post_json(f"https://other.example.com:{server.port}/", {})
    assert names == ["chat.example.com", "chat.example.com", "other.example.com"]
