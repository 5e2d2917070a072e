"""The commands of the documents work: every line "$ command" in a ```console block of the pages that promise it is run, page by
page in one shell, in a folder with model.gguf and the published name in the cache. Port 8111 becomes a free one.
"""
import json
import os
import re
import socket
import subprocess

import pytest
from conftest import ROOT, TIMEOUT_S

DOCS = ROOT / "docs"
PAGES = ["use-your-gguf.md", "run-ministral.md", "terminal-chat.md"]


def commands(page):
    """Lines that begin with "$ ", with the lines that they go on in."""
    text = "\n".join(re.findall(r"^```console\n(.*?)^```", (DOCS / page).read_text(), re.M | re.S))
    return re.findall(r"^\$ ((?:.*\\\n)*.*)$", text, re.M)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def folder(tmp_path, tiny, smol_gguf):
    (tmp_path / "model.gguf").symlink_to(smol_gguf)
    repository = tmp_path / "hub" / "models--mistralai--Ministral-3-3B-Instruct-2512"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / ("0" * 40)).symlink_to(tiny / "fp8")
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_work(lancet, folder, page):
    port = str(free_port())
    lines = [re.sub(r"\blancet serve\b", f"lancet serve --port {port}", c.replace("8111", port)) for c in commands(page)]
    assert lines and all("lancet" in line or line.startswith(("curl", "kill")) for line in lines)
    (folder / "bin").mkdir()
    (folder / "bin" / "lancet").symlink_to(lancet.binary.resolve())
    script = "set -e -m -o pipefail\ntrap 'kill %1 2>/dev/null || true' EXIT\n" + "\necho\n".join(lines) + "\n"
    environment = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HF_HUB_CACHE": str(folder / "hub")}
    for name in ("LANCET_MODEL", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        environment.pop(name, None)
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True,
                          timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert '"error"' not in done.stdout
    if page == "terminal-chat.md":
        assert len(json.loads((folder / "talk.json").read_text())["messages"]) == 4


def test_pages_name_only_flags_and_pages_that_exist(lancet):
    known = {"--now", "--read-only", "--cap-drop", "--format", "--retry", "--retry-delay", "--retry-connrefused"}  # of other programs
    for command in re.findall(r"^  (\w+)  ", lancet.text("--help").split("Subcommands:")[1], re.M):
        known |= set(re.findall(r"--[a-z][a-z-]*", lancet.text(command, "--help")))
    for page in [*PAGES, "service.md"]:
        text = (DOCS / page).read_text()
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text):
            assert flag in known, f"{page}: {flag}"
        for link in re.findall(r"\]\(([\w-]+\.md)\)", text):
            assert (DOCS / link).is_file(), f"{page}: {link}"
        for file in re.findall(r"`((?:deploy|tests|tools)/[\w./-]+)`", text):
            assert (ROOT / file).is_file(), f"{page}: {file}"
