"""lancet chat at a pseudo terminal, over a pipe, and joined to a server: ours, and one that misbehaves."""
import json
import os
import pty
import re
import select
import socket
import subprocess
import threading

import pytest

from conftest import TIMEOUT_S
from server_fixture import server  # noqa: F401 (a fixture)


class Terminal:
    """The program at a pseudo terminal of its own session. What it writes is collected in `text`."""

    def __init__(self, lancet, tmp_path, *arguments, **environment):
        self.text = ""
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.environ.update(XDG_STATE_HOME=str(tmp_path / "state"), HOME=str(tmp_path), TERM="xterm", **environment)
            os.execv(lancet.binary, [str(lancet.binary), "chat", *map(str, arguments)])

    def read(self):
        """Some more of what the program writes; False at its end."""
        ready, _, _ = select.select([self.file], [], [], TIMEOUT_S)
        assert ready, self.text
        try:
            more = os.read(self.file, 65536).decode("utf-8", "replace")
        except OSError:
            return False
        self.text += more
        return bool(more)

    def wait_for(self, pattern):
        """Reads until the text since the last call has the pattern; returns that text."""
        while not (found := re.search(pattern, self.text, re.S)):
            assert self.read(), self.text
        seen, self.text = self.text[:found.end()], self.text[found.end():]
        return seen

    def prompt(self):
        return self.wait_for(r"\x1b\[\?2004h(?:\x1b\[[0-9;]*m|\r)*> ")

    def type(self, text):
        os.write(self.file, text.encode())

    def end(self):
        while self.read():
            pass
        os.close(self.file)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_help_has_examples(lancet):
    assert "lancet chat --connect" in lancet.text("chat", "--help").split("Examples:")[1]
    assert "A conversation in the terminal" in lancet.text("--help")


@pytest.fixture
def terminal(lancet, tmp_path, smol_gguf):
    """A conversation with SmolLM2 at its first prompt."""
    opened = Terminal(lancet, tmp_path, "-m", smol_gguf, "--ctx", "1024", "--temperature", "0")
    opened.prompt()
    return opened


def test_a_conversation_at_a_terminal(terminal, tmp_path):
    terminal.type("/image cat.png\r")
    assert "does not see images" in terminal.prompt()
    terminal.type("/frob\r")
    assert 'no command "/frob"' in terminal.prompt()
    terminal.type("/stats\r")
    assert "nothing has been answered" in terminal.prompt()
    terminal.type("/system Answer in one word.\r")
    terminal.prompt()
    terminal.type('"""\r')
    terminal.wait_for(r"\. ")
    terminal.type('What is the capital\r')
    terminal.type('of France?"""\r')
    terminal.prompt()
    terminal.type("/stats\r")
    assert re.search(r"\d+ prompt tokens, 0 of them cached, \d+ generated.*first text +\d+ ms", terminal.prompt(), re.S)
    terminal.type(f"/save {tmp_path}/talk.json\r")
    assert "[3 messages saved]" in terminal.prompt()
    terminal.type(f"/save {tmp_path}/talk.json\r")
    assert "there already" in terminal.prompt()
    terminal.type("/reset\r")
    terminal.prompt()
    terminal.type(f"/load {tmp_path}/talk.json\r")
    assert "[3 messages loaded]" in terminal.prompt()
    terminal.type("And of Italy?\r")
    terminal.prompt()
    terminal.type("/stats\r")
    cached = int(re.search(r"last answer +\d+ prompt tokens, (\d+) of them cached", terminal.prompt())[1])
    assert cached > 0, "the earlier turns are not read again"
    terminal.type("/quit\r")
    assert terminal.end() == 0
    saved = json.loads((tmp_path / "talk.json").read_text())["messages"]
    assert [m["role"] for m in saved] == ["system", "user", "assistant"]
    assert saved[1]["content"] == "What is the capital\nof France?" and saved[2]["content"]


def test_ctrl_c_ends_an_answer_and_not_the_program(terminal):
    terminal.type("Write a long story about the sea.\r")
    terminal.wait_for(r"\x1b\[\?2004l.*\w\W+\w")
    terminal.type("\x03")
    assert "interrupted" in terminal.prompt()
    terminal.type("half a line")
    terminal.wait_for("half a line")
    terminal.type("\x03")
    terminal.prompt()
    terminal.type("\x03")
    assert "Ctrl-C again" in terminal.prompt()
    terminal.type("/help\r")
    assert "/system [TEXT]" in terminal.prompt()
    terminal.type("\x03")
    terminal.prompt()
    terminal.type("\x03")
    assert terminal.end() == 0


def test_history_outlives_the_program(lancet, tmp_path, smol_gguf, terminal):
    terminal.type("/stats\r")
    terminal.prompt()
    terminal.type("\x04")
    assert terminal.end() == 0
    file = tmp_path / "state" / "lancet" / "history"
    assert json.loads(file.read_text()) == "/stats" and file.stat().st_mode & 0o777 == 0o600
    again = Terminal(lancet, tmp_path, "-m", smol_gguf, "--ctx", "1024")
    again.prompt()
    again.type("\x1b[A\r")
    assert "nothing has been answered" in again.prompt()
    again.type("\x04")
    assert again.end() == 0


def test_pasted_text_and_alt_enter_are_one_message(lancet, tmp_path):
    with FakeServer([chunk("ok"), "data: [DONE]\n\n"]) as fake:
        opened = Terminal(lancet, tmp_path, "--connect", fake.url)
        opened.prompt()
        opened.type("\x1b[200~one\r/quit\rthr\x1b[31mee\x1b[201~\x1b\rfour é\r")
        assert "ok" in opened.prompt()
        opened.type("\x04")
        assert opened.end() == 0
    assert fake.bodies[0]["messages"] == [{"role": "user", "content": "one\n/quit\nthr[31mee\nfour é"}]


# Over a pipe.


def pipe(lancet, *arguments, stdin=""):
    return lancet.run("chat", *arguments, "--temperature", "0", stdin=stdin)


def test_all_of_stdin_is_one_message(lancet, smol_gguf):
    done = pipe(lancet, "-m", smol_gguf, "--ctx", "512", "-n", "20", stdin="What is the capital\n/quit\nof France?\n\n")
    assert done.returncode == 0 and re.search(rb"[a-z]{3}", done.stdout)
    assert b"\x1b" not in done.stdout and b"> " not in done.stdout


def test_an_answer_that_nobody_reads_ends(lancet):
    with FakeServer([chunk("word ")] * 100, hold=True) as fake:
        reader, writer = os.pipe()
        process = subprocess.Popen([lancet.binary, "chat", "--connect", fake.url], stdin=subprocess.PIPE, stdout=writer,
                                   stderr=subprocess.PIPE)
        os.close(reader)
        os.close(writer)
        complaint = process.communicate(b"a", timeout=TIMEOUT_S)[1]
    assert process.returncode == 1 and complaint == b"lancet: stdout cannot be written: Broken pipe\n"


def test_lines_are_what_would_be_typed(lancet, smol_gguf, tmp_path):
    script = f'What is the capital of \\\nFrance?\n/stats\n/frob\n/save {tmp_path}/a.json\n//x\\\n'
    done = pipe(lancet, "-m", smol_gguf, "--ctx", "512", "-n", "12", "--lines", stdin=script)
    assert done.returncode == 1 and re.search(rb"[a-z]{3}", done.stdout)
    said = done.stderr.decode()
    assert "prompt tokens" in said and 'lancet: there is no command "/frob"' in said
    assert json.loads((tmp_path / "a.json").read_text())["messages"][0]["content"] == "What is the capital of \nFrance?"


def test_what_cannot_be_is_one_sentence(lancet, tiny, tmp_path):
    assert "no message" in lancet.refuses("chat", "-m", tiny / "fp8", stdin=" \n")
    assert "bad/illegal" in lancet.refuses("chat", "--connect", "http://:x", stdin="a")
    assert "wanted http://" in lancet.refuses("chat", "--connect", "ftp://localhost", stdin="a")
    for flag in (["-m", "x"], ["--ctx", "64"], ["--exact"], ["--kv", "q8"]):
        assert "-m, --ctx" in lancet.refuses("chat", "--connect", "http://localhost", *flag, stdin="a")
    assert "only with --connect" in lancet.refuses("chat", "-m", tiny / "fp8", "--api-key-file", "x", stdin="a")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert "onnect" in lancet.refuses("chat", "--connect", f"http://127.0.0.1:{unused.getsockname()[1]}", stdin="a")


def test_a_message_longer_than_the_context_is_said(lancet, tiny):
    said = lancet.refuses("chat", "-m", tiny / "fp8", "--ctx", "64", stdin="word " * 500)
    assert "64" in said


# Joined to a server.


def test_a_running_server_answers(lancet, server):  # noqa: F811
    done = pipe(lancet, "--connect", server.url + "/v1/", "-n", "12", stdin="What is the capital of France?")
    assert done.returncode == 0 and re.search(rb"[a-z]{3}", done.stdout), done.stderr


def test_ctrl_c_hangs_up_on_a_server_that_is_silent(lancet, tmp_path):
    with FakeServer([chunk("so far")], hold=True) as fake:
        opened = Terminal(lancet, tmp_path, "--connect", fake.url)
        opened.prompt()
        opened.type("a\r")
        opened.wait_for("so far")
        opened.type("\x03")
        assert "what was said stays" in opened.prompt()
        assert fake.left.wait(timeout=20), "the connection is closed"
        opened.type("b\r")
        opened.wait_for("so far")
        opened.type("\x03")
        opened.prompt()
        opened.type("\x04")
        assert opened.end() == 0
    assert [m["content"] for m in fake.bodies[1]["messages"]] == ["a", "so far", "b"]


def chunk(text):
    return "data: " + json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": None}]}) + "\n\n"


class FakeServer:
    """Answers /v1/models, and chat with given pieces; then it closes the connection, or waits until the client does."""

    def __init__(self, pieces, status="200 OK", hold=False):
        self.pieces, self.status, self.bodies, self.heads, self.hold = pieces, status, [], [], hold
        self.left = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(timeout=10)

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                head = b""
                while (line := stream.readline()) not in (b"\r\n", b""):
                    head += line
                self.heads.append(head.decode())
                length = re.search(rb"(?i)content-length: (\d+)", head)
                body = stream.read(int(length[1])) if length else b""
                if head.startswith(b"GET"):
                    model = b'{"data": [{"id": "fake\\u001b[2J"}]}'
                    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(model) + model)
                    continue
                self.bodies.append(json.loads(body))
                answer = f"HTTP/1.1 {self.status}\r\nConnection: close\r\nx-prompt-notes: changed\r\n\r\n" + "".join(self.pieces)
                try:
                    connection.sendall(answer.encode())
                    if self.hold and not connection.recv(1):
                        self.left.set()
                except OSError:
                    pass  # the client did not want that much


@pytest.mark.parametrize("pieces,status,says", [
    ([chunk("half")], "200 OK", "before it was complete"),
    (["data: {\n\n"], "200 OK", "not valid JSON"),
    (["data: " + "x" * 2_000_000], "200 OK", "an event of more than"),
    ([chunk("half"), 'data: {"error": {"message": "draining"}}\n\n'], "200 OK", "draining"),
    (['{"error": {"message": "no key \\u001b[2J"}}'], "401 Unauthorized", "no key"),
    (["\x1b[2J<html>"], "502 Bad Gateway", "<html>"),
    (["moved"], "307 Moved\r\nLocation: http://localhost:1/", "307"),
])
def test_a_server_that_misbehaves_is_named(lancet, pieces, status, says):
    with FakeServer(pieces, status) as fake:
        done = pipe(lancet, "--connect", fake.url, stdin="a")
    complaint = done.stderr.decode()
    assert done.returncode == 1 and says in complaint and complaint.count("\n") == 1 and "\x1b" not in complaint


def test_what_a_server_sends_cannot_touch_the_terminal(lancet, tmp_path):
    with FakeServer([chunk("\x1b]0;owned\x07\x9b2J\u202e"), "data: [DONE]\n\n"]) as fake:
        opened = Terminal(lancet, tmp_path, "--connect", fake.url, NO_COLOR="1")
        opened.prompt()
        opened.type("a\r")
        shown = opened.wait_for("202E>")
        opened.type("\x04")
        assert opened.end() == 0
    assert "\u241b]0;owned\u2407<U+009B>2J<U+202E>" in shown and "\x1b]" not in shown


def test_the_key_goes_to_the_server_and_notes_are_shown(lancet, tmp_path):
    (tmp_path / "key").write_text("secret\n")
    with FakeServer([chunk("ok"), "data: [DONE]\n\n"]) as fake:
        done = pipe(lancet, "--connect", fake.url, "--api-key-file", tmp_path / "key", "--seed", "7", "-n", "5",
                    "--system", "Short.", stdin="a\n")
    assert done.stdout == b"ok\n" and done.stderr == b"[changed]\n"
    assert all("Authorization: Bearer secret\r\n" in head for head in fake.heads) and len(fake.heads) == 2
    body = fake.bodies[0]
    assert (body["seed"], body["max_tokens"], body["temperature"], body["stream"]) == (7, 5, 0, True)
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
