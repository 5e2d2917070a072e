"""What no HTTP library would send."""

import json
import socket

import pytest

from server_fixture import server  # noqa: F401 (a fixture)


def exchange(server, data):  # noqa: F811
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


@pytest.mark.parametrize(
    "head, status",
    [
        (b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Content-Length: 2\r\nContent-Length: 2\r\n", 400),
        (b"Transfer-Encoding: chunked, identity\r\n", 400),
        (b"X: " + b"a" * 70_000 + b"\r\n", 431),
        (b"X: a\r\n" * 101, 431),
        (b"Content-Length: 99999999999\r\n", 413),
        (b"Content-Type: text/plain\r\nContent-Length: 2\r\n", 415),
    ],
)
def test_bad_messages_get_one_error_object(server, head, status):  # noqa: F811
    answer = exchange(server, b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n{}")
    first, body = answer.split(b"\r\n\r\n", 1)
    assert first.startswith(b"HTTP/1.1 %d " % status)
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}


def test_a_foreign_host_is_refused(server):  # noqa: F811
    assert exchange(server, b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n").startswith(b"HTTP/1.1 403 ")


def test_many_idle_connections_harm_nobody(server):  # noqa: F811
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(500)]
    try:
        assert server.health()[0] == 200
    finally:
        for connection in idle:
            connection.close()


def test_error_bodies_do_not_tell_about_the_machine(server):  # noqa: F811
    for request in (b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /v1/models/x HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        answer = exchange(server, request)
        assert b"/home" not in answer and socket.gethostname().encode() not in answer
