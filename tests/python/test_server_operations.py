"""How the built server behaves under faults from outside: signals, sockets, descriptors. After each fault the canary (one
greedy completion) must give its exact text, from the same process, and nothing may be left running.
"""

import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

from server_fixture import RunningServer, start_server

BODY = {"prompt": "One, two, three,", "max_tokens": 8, "temperature": 0}
LONG = {"prompt": "Tell me a story.", "max_tokens": 400, "ignore_eos": True, "seed": 1}


def call(server, path, body=None, headers=None, timeout=60):
    """(status, fields, text); an error status is not an exception here."""
    request = urllib.request.Request(server.url + path, headers={"Content-Type": "application/json", **(headers or {})})
    if body is not None:
        request.data = json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def canary(server):
    status, _, text = call(server, "/v1/completions", BODY)
    assert status == 200, text
    return json.loads(text)["choices"][0]["text"]


def message(path, body, *fields):
    data = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {len(data)}"]
    return "\r\n".join([*lines, *fields]).encode() + b"\r\n\r\n" + data


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def open_stream(server, body=LONG):
    """A connection whose stream has begun."""
    connection = connect(server)
    connection.sendall(message("/v1/completions", {**body, "stream": True}))
    received = b""
    while b"data: " not in received:
        piece = connection.recv(4096)
        assert piece, received
        received += piece
    return connection


def read_all(connection):
    received = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            received += piece
    connection.close()
    return received


def rest(server, seconds=20):
    """Waits until nothing runs and all blocks are free."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        health = server.health()[1]
        if health["running"] == health["waiting"] == 0 and health["free_blocks"] == health["total_blocks"]:
            return
        time.sleep(0.02)
    raise AssertionError(f"not at rest: {health}")


def rss_kib(process):
    with open(f"/proc/{process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def cpu_seconds(process):
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serving(*flags):
    server = start_server("--ctx", "1024", *flags)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait(timeout=20)


@pytest.fixture(scope="module")
def shared():
    with serving("--parallel", "4") as server:
        server.wanted = canary(server)
        yield server


@pytest.fixture
def server(shared):
    """The module's server, checked after each test."""
    yield shared
    assert shared.process.poll() is None
    rest(shared)
    assert canary(shared) == shared.wanted
    rest(shared)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("way", ["close", "reset", "half"])
def test_a_client_that_leaves_frees_everything(server, stream, way):
    connections = []
    for _ in range(12):  # more than run at once: some leave the queue
        connection = connect(server)
        connection.sendall(message("/v1/completions", {**LONG, "stream": stream}))
        connections.append(connection)
    while server.health()[1]["running"] == 0:
        time.sleep(0.01)
    for connection in connections:
        if way == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if way == "half":
            connection.shutdown(socket.SHUT_WR)
        else:
            connection.close()
    rest(server)
    for connection in connections:
        connection.close()


def test_a_reset_in_the_middle_of_a_body_harms_nobody(server):
    for _ in range(50):
        connection = connect(server)
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + b" " * 5000)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()


def test_huge_headers_and_targets_are_refused(server):
    many = b"".join(b"X%d: a\r\n" % i for i in range(100_000))
    for data, status in (
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 65536 + b"\r\n\r\n", b"431"),
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + many + b"\r\n", b"431"),
        (b"GET /" + b"a" * 65536 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"414"),
    ):
        connection = connect(server)
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
        assert read_all(connection).split(b" ")[1] == status


def test_ten_thousand_idle_connections_cost_ten_kib_each_at_most(server):
    wanted = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted + 500:
        pytest.skip(f"DID NOT RUN: this system allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before = rss_kib(server.process)
    connections = []
    try:
        for _ in range(wanted):
            connection = connect(server)
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            connections.append(connection)
        for connection in connections:
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        each = (rss_kib(server.process) - before) / wanted
        print(f"{each:.2f} KiB of each idle connection are resident")
        assert each <= 10
        assert canary(server) == server.wanted
        used = cpu_seconds(server.process)
        time.sleep(1)
        assert cpu_seconds(server.process) - used < 0.3, "idle connections cost no time"
    finally:
        for connection in connections:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_accepting_pauses_and_recovers(server):
    rest(server)
    used = len(os.listdir(f"/proc/{server.process.pid}/fd"))
    old = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    connections = []
    try:
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used + 10, old[1]))
        before = cpu_seconds(server.process)
        connections = [connect(server) for _ in range(200)]
        time.sleep(1)
        assert cpu_seconds(server.process) - before < 0.5, "no busy loop"
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, old)
        for connection in connections:
            connection.close()
    assert canary(server) == server.wanted


def test_many_short_connections(server):
    def knock():
        for _ in range(1000):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", server.port), timeout=10).close()

    threads = [threading.Thread(target=knock) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_sighup_and_a_stop_of_the_process_end_nothing(server):
    server.process.send_signal(signal.SIGHUP)
    stream = open_stream(server, {**LONG, "max_tokens": 60})
    half = connect(server)
    data = message("/v1/completions", BODY)
    half.sendall(data[:-10])
    server.process.send_signal(signal.SIGSTOP)
    try:
        half.sendall(data[-10:])
        time.sleep(3)
    finally:
        server.process.send_signal(signal.SIGCONT)
    answer = half.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    half.close()
    received = b""
    while b"data: [DONE]" not in received:
        piece = stream.recv(65536)
        assert piece, received[-300:]
        received += piece
    stream.close()


def test_slow_bytes_time_out_and_others_are_served():
    with serving("--limit-header-seconds", "1", "--limit-body-seconds", "1") as server:
        slow = []
        for i in range(500):
            connection = connect(server)
            connection.sendall(b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\n" + (b"Content-Length: 9\r\n\r\n" if i % 2 else b""))
            slow.append(connection)
        assert canary(server)
        for connection in slow:
            assert read_all(connection).startswith(b"HTTP/1.1 408")


def test_sigterm_lets_streams_complete():
    with serving("--parallel", "8") as server:
        streams = [open_stream(server, {**LONG, "max_tokens": 64}) for _ in range(8)]
        kept = connect(server)
        kept.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert kept.recv(4096).startswith(b"HTTP/1.1 200")
        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 2
        while call(server, "/readyz")[0] != 503:
            assert time.monotonic() < deadline
        status, fields, text = call(server, "/v1/completions", BODY)
        assert status == 503 and json.loads(text)["error"]["code"] == "draining"
        assert fields["Retry-After"] and fields["Connection"] == "close"
        assert call(server, "/livez")[0] == 200
        for stream in streams:
            assert b"data: [DONE]" in read_all(stream)
        assert server.process.wait(timeout=10) == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once_with_last_words(second):
    with serving() as server:
        stream = open_stream(server, {**LONG, "max_tokens": 900})
        server.process.send_signal(signal.SIGINT)
        while call(server, "/readyz")[0] != 503:
            pass
        began = time.monotonic()
        server.process.send_signal(second)
        assert server.process.wait(timeout=10) == 0
        assert time.monotonic() - began < 1
        assert b'data: {"error"' in read_all(stream)


def test_the_drain_time_is_an_end():
    with serving("--drain-s", "0.5") as server:
        stream = open_stream(server, {**LONG, "max_tokens": 900})
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=5) == 0
        assert b'data: {"error"' in read_all(stream)


@pytest.mark.parametrize("close", [True, False])
def test_a_closed_or_full_log_does_not_stop_the_server(lancet, smol_gguf, close):
    command = [lancet.binary, "serve", "-m", smol_gguf, "--port", "0", "--ctx", "512"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        found = None
        while not found:
            found = re.search(rb"listening on http://[^ ]*:(\d+)", process.stderr.readline())
        if close:
            process.stderr.close()
        server = RunningServer(process, int(found.group(1)))
        server.wait_until_ready(60)
        wanted = canary(server)
        for _ in range(1500):  # some 150 KiB of lines: a pipe holds 64
            call(server, "/nothing")
        process.send_signal(signal.SIGHUP)
        assert canary(server) == wanted
        process.terminate()
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()


def test_an_idle_model_gives_its_memory_back_and_comes_again():
    with serving("--sleep-after", "1") as server:
        wanted = canary(server)
        awake = rss_kib(server.process)
        deadline = time.monotonic() + 20
        while server.health()[1]["status"] != "sleeping":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(0.5)
        asleep = rss_kib(server.process)
        print(f"resident: awake {awake} KiB, asleep {asleep} KiB")
        if not os.environ.get("LANCET_SLOW_BINARY"):  # a sanitizer holds freed memory back
            assert asleep < awake / 2
        assert server.health()[0] == 200
        assert canary(server) == wanted


def test_keys_are_wanted_everywhere(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# test\nsecret-one\n")
    keys.chmod(0o600)
    with serving("--api-key-file", str(keys), "--host", "0.0.0.0") as server:
        assert call(server, "/v1/models")[0] == 401
        assert call(server, "/metrics")[0] == 401
        assert call(server, "/v1/completions", BODY, {"Authorization": "Bearer wrong"})[0] == 401
        assert call(server, "/v1/completions", BODY, {"Authorization": "Bearer secret-one"})[0] == 200
        assert call(server, "/v1/models", None, {"x-api-key": "secret-one"})[0] == 200
        assert call(server, "/livez")[0] == 200


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--host", "0.0.0.0"], ["--api-key-file", "--insecure-public"]),
        (["--host", "203.0.113.7", "--insecure-public"], ["203.0.113.7"]),
        (["--host", "no-such-name.invalid"], ["--api-key-file"]),
        (["--api-key-file", "/nonexistent"], ["/nonexistent"]),
    ],
)
def test_what_cannot_be_listened_on_is_one_sentence(lancet, tmp_path, tiny, flags, words):
    model = next(p for p in sorted(tiny.iterdir()) if p.is_dir() and p.name != "broken")
    complaint = lancet.refuses("serve", "-m", model, "--port", "0", *flags)
    for word in words:
        assert word in complaint


def test_a_taken_port_is_one_sentence(shared, lancet, tiny):
    model = next(p for p in sorted(tiny.iterdir()) if p.is_dir() and p.name != "broken")
    done = subprocess.run([lancet.binary, "serve", "-m", model, "--port", str(shared.port)], capture_output=True, timeout=60)
    assert done.returncode == 1 and b"taken by another program" in done.stderr
