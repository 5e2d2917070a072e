"""The built server with a certificate: HTTPS answers as HTTP does, old protocols and plain requests do not get through."""

import json
import socket
import ssl
import subprocess

import pytest

from server_fixture import RunningServer, start_server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )
    return cert, key


@pytest.fixture(scope="module")
def server(certificate):
    cert, key = certificate

    def ready(self, seconds):
        for _ in range(int(seconds * 20)):
            with connect(self, certificate) as connection:
                if exchange(connection, "GET", "/readyz")[0] == 200:
                    return
        raise RuntimeError("the server did not become ready")

    plain, RunningServer.wait_until_ready = RunningServer.wait_until_ready, ready
    try:
        running = start_server("--ctx", "512", "--tls-cert", str(cert), "--tls-key", str(key))
    finally:
        RunningServer.wait_until_ready = plain
    yield running
    running.process.terminate()
    assert running.process.wait(timeout=20) == 0


def connect(server, certificate, **settings):
    context = ssl.create_default_context(cafile=certificate[0])
    context.set_alpn_protocols(["h2", "http/1.1"])
    for name, value in settings.items():
        setattr(context, name, value)
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    return context.wrap_socket(raw, server_hostname="localhost")


def exchange(connection, method, path, body=b""):
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, rest = received.split(b"\r\n\r\n", 1)
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
    while len(rest) < length:
        rest += connection.recv(65536)
    return int(head.split()[1]), rest


def test_requests_are_answered_and_the_connection_is_kept(server, certificate):
    with connect(server, certificate) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"
        assert exchange(connection, "GET", "/health")[0] == 200
        body = json.dumps({"prompt": "One, two,", "max_tokens": 4, "temperature": 0}).encode()
        status, text = exchange(connection, "POST", "/v1/completions", body)
        assert status == 200 and json.loads(text)["choices"][0]["text"]
        big = json.dumps({"content": "word " * 50_000}).encode()
        assert json.loads(exchange(connection, "POST", "/tokenize", big)[1])["count"] > 10_000


def test_old_protocols_are_refused(server, certificate):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(server, certificate, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)


def test_a_plain_request_and_a_broken_handshake_end_only_themselves(server, certificate):
    for data in (b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 100, b""):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            try:
                assert b"HTTP/" not in connection.recv(4096)
            except ConnectionError:
                pass
    with connect(server, certificate) as connection:
        assert exchange(connection, "GET", "/health")[0] == 200


def test_a_client_that_leaves_is_cancelled(server, certificate):
    body = json.dumps({"prompt": "x", "max_tokens": 400, "ignore_eos": True, "stream": True}).encode()
    connection = connect(server, certificate)
    connection.sendall(
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(body) + body
    )
    connection.recv(100)
    connection.close()
    with connect(server, certificate) as watching:
        for _ in range(2000):
            health = json.loads(exchange(watching, "GET", "/health")[1])
            if health["running"] == 0 and health["free_blocks"] == health["total_blocks"]:
                return
    raise AssertionError(health)


@pytest.mark.parametrize("swap", [True, False])
def test_files_that_do_not_fit_are_one_sentence(lancet, tiny, certificate, swap):
    model = next(p for p in sorted(tiny.iterdir()) if p.is_dir() and p.name != "broken")
    cert, key = certificate
    flags = ["--tls-cert", key if swap else cert, "--tls-key", cert]
    assert "TLS" in lancet.refuses("serve", "-m", model, "--port", "0", *flags)
