"""The commands of the documents work: every line "$ command" in a ```console block of the pages is run, page by page in one shell,
in a folder with model.gguf and text.txt, with a hub of our own as the model hub and an empty home. Port 8111 becomes a free one,
and the addresses of the example company become those of our proxy and hub.

What no test can run (another machine's package manager, services and containers) stands in blocks without a mark, which may hold
nothing else.
"""
import json
import os
import re
import socket
import socketserver
import subprocess
import threading

import hub_fixture
import pytest
from conftest import ROOT, TIMEOUT_S

DOCS = ROOT / "docs"
PAGES = ["use-your-gguf.md", "run-ministral.md", "terminal-chat.md", "models.md", "behind-a-proxy.md", "doctor.md", "quantize.md",
         "service.md"]
RUN = ("lancet", "curl", "kill", "echo", "printf", "export", "HF_", "tar", "mkdir", "openssl")
NOT_RUN = ("sudo ", "sudoedit ", "systemctl ", "journalctl ", "podman ", "make deb", "bench/compare_quantize.py ")
MINISTRAL = "mistralai/Ministral-3-3B-Instruct-2512"


def blocks(page):
    """(mark, text) of the fenced blocks."""
    return re.findall(r"^```([^\n]*)\n(.*?)^```$", (DOCS / page).read_text(), re.M | re.S)


def commands(page):
    """Lines that begin with "$ ", with the lines that they go on in."""
    text = "".join(text for mark, text in blocks(page) if mark == "console")
    return re.findall(r"^\$ ((?:.*\\\n)*.*)$", text, re.M)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Proxy(socketserver.ThreadingTCPServer):
    """A forward proxy for https: tunnels to the hosts of its list, and to this computer."""
    daemon_threads, allow_reuse_address = True, True

    def __init__(self, hosts):
        super().__init__(("127.0.0.1", 0), ProxyConnection)
        self.hosts, self.asked = hosts, []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.server_address[1]}"


class ProxyConnection(socketserver.StreamRequestHandler):
    def handle(self):
        method, target, _ = self.rfile.readline().decode().split()
        while self.rfile.readline().strip():
            pass
        self.server.asked.append(target)
        host, port = target.rsplit(":", 1)
        if method != "CONNECT" or (host != "localhost" and target not in self.server.hosts):
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self.server.hosts.get(target, int(port)))) as there:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self.copy, args=(there, self.connection), daemon=True)
            back.start()
            self.copy(self.connection, there)
            back.join()

    @staticmethod
    def copy(source, destination):
        try:
            while data := source.recv(65536):
                destination.sendall(data)
            destination.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one side has gone


def fill(hub, tiny):
    """What the pages fetch: the published names, with small models of the same form."""
    files = {path.name: path.read_bytes() for path in (tiny / "fp8").iterdir() if path.is_file()}
    ggufs = {f"Ministral-3-3B-Instruct-2512-{part}.gguf": part.encode() for part in ("Q4_K_M", "Q8_0", "BF16-mmproj")}
    hub.add(MINISTRAL, files)
    hub.add(MINISTRAL + "-GGUF", ggufs)
    hub.add("owner/repo", files, refs=("main", "v1.0"))


@pytest.fixture
def folder(lancet, tmp_path, smol_gguf):
    """Where the commands run: its own home, and bin/lancet."""
    (tmp_path / "model.gguf").symlink_to(smol_gguf)
    (tmp_path / "text.txt").write_text((DOCS / "operations.md").read_text())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "lancet").symlink_to(lancet.binary.resolve())
    return tmp_path


def run_page(page, folder, replaced, **variables):
    """What the commands of the page print."""
    port = str(free_port())
    lines = [re.sub(r"\blancet serve\b", f"lancet serve --port {port}", c.replace("8111", port)) for c in commands(page)]
    assert lines and all(line.startswith(RUN) for line in lines), lines
    script = "set -e -m -o pipefail\ntrap 'kill %1 2>/dev/null || true' EXIT\n" + "\necho\n".join(lines) + "\n"
    for name, ours in replaced.items():
        assert name in script, name
        script = script.replace(name, ours)
    environment = {k: v for k, v in os.environ.items() if not re.search("proxy|^HF_|^XDG_|^LANCET_MODEL$|^SSL_CERT", k, re.I)}
    environment |= {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(folder)} | variables
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True,
                          timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert '"error"' not in done.stdout
    return done.stdout


@pytest.mark.parametrize("page", [page for page in PAGES if page != "behind-a-proxy.md"])
def test_the_commands_of_a_page_work(folder, tiny, page):
    hub = hub_fixture.Hub()
    fill(hub, tiny)
    try:
        said = run_page(page, folder, {}, HF_ENDPOINT=hub.url)
    finally:
        hub.close()
    if page == "terminal-chat.md":
        assert len(json.loads((folder / "talk.json").read_text())["messages"]) == 4
    if page == "models.md":
        assert MINISTRAL + "-GGUF  " in said and "owner/repo  " in said and "Q8_0" not in said
        assert not (folder / ".cache/huggingface/hub/models--owner--repo").exists()


def test_the_commands_work_behind_a_proxy(folder, tiny):
    certificate = hub_fixture.make_certificate(folder, "huggingface.co", "localhost")
    hub = hub_fixture.Hub(certificate, certificate)
    fill(hub, tiny)
    proxy = Proxy({"huggingface.co:443": hub.endpoint.server_port})
    other_machine = folder / "other"
    other_machine.mkdir()
    replaced = {"http://proxy.example:3128": f"http://{proxy.address}", "/etc/ssl/certs/company.pem": str(certificate[0]),
                "https://hub.example": hub.url, "no_proxy=hub.example": "no_proxy=localhost",
                "mkdir -p ~/.cache": f"export HOME={other_machine} && mkdir -p ~/.cache"}
    try:
        said = run_page("behind-a-proxy.md", folder, replaced)
    finally:
        proxy.shutdown()
        proxy.server_close()
        hub.close()
    # The published name came from the hub's usual address, the mirror's files from beside the proxy.
    assert "huggingface.co:443" in proxy.asked and f"localhost:{hub.endpoint.server_port}" not in proxy.asked
    assert "verdict: all is right" in said
    assert (other_machine / ".cache/huggingface/hub/models--owner--repo/snapshots").is_dir()


@pytest.mark.parametrize("page", PAGES)
def test_only_what_a_test_cannot_run_stands_in_an_unmarked_block(page):
    for mark, text in blocks(page):
        assert mark in ("", "console", "text"), f"{page}: {mark}"
        if mark == "console":
            assert all(line.startswith(("$ ", "    ")) for line in text.splitlines()), f"{page}: {text}"
        if not mark:
            for line in text.replace("\\\n", " ").splitlines():
                assert line.startswith(NOT_RUN), f"{page}: {line}"
    outside = re.sub(r"^```.*?^```$", "", (DOCS / page).read_text(), flags=re.M | re.S)
    assert not re.search(r"^    \S", outside, re.M), f"{page}: a block without a fence is not looked at"


def test_pages_name_only_flags_and_pages_that_exist(lancet):
    known = {"--now", "--read-only", "--cap-drop", "--format", "--retry", "--retry-delay", "--retry-connrefused",  # of other programs
             "--lancet", "--source", "--text"}
    for command in re.findall(r"^  (\w+)  ", lancet.text("--help").split("Subcommands:")[1], re.M):
        known |= set(re.findall(r"--[a-z][a-z-]*", lancet.text(command, "--help")))
    for page in PAGES:
        text = (DOCS / page).read_text()
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text):
            assert flag in known, f"{page}: {flag}"
        for link in re.findall(r"\]\(([\w-]+\.md)\)", text):
            assert (DOCS / link).is_file(), f"{page}: {link}"
        for file in re.findall(r"`((?:bench|deploy|tests|tools)/[\w./-]+)`", text):
            assert (ROOT / file).is_file(), f"{page}: {file}"
