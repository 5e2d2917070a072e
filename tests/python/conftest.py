"""What the tests of the built program share: how it is run, and the checkpoints it is run on.

The program is $LANCET_BINARY (default: build/lancet). The tiny checkpoints are made by tools/make_test_checkpoints.py once a
session, or taken from $LANCET_TEST_CHECKPOINTS. SmolLM2 is fetched by tools/fetch_smollm2.sh; where that is impossible
(no network, nothing in .cache/) the tests that need it are skipped with a line that says so.
"""
import functools
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"
DATA = ROOT / "tests" / "data"
# Sanitizers slow the program down by an order of magnitude.
TIMEOUT_S = 900 if os.environ.get("LANCET_SLOW_BINARY") else 120
sys.path.insert(0, str(TOOLS))


class Lancet:
    """Runs the program. Text in and out is bytes where a test says so, else UTF-8."""

    def __init__(self, binary):
        self.binary = binary

    def run(self, *arguments, stdin=""):
        data = stdin if isinstance(stdin, bytes) else stdin.encode()
        command = [self.binary, *(str(a) for a in arguments)]
        return subprocess.run(command, input=data, capture_output=True, timeout=TIMEOUT_S, check=False)

    def text(self, *arguments, stdin=""):
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, (arguments, done.stderr.decode())
        return done.stdout.decode()

    def json(self, *arguments, stdin=""):
        """The one JSON document that --json promises on stdout."""
        return json.loads(self.text(*arguments, "--json", stdin=stdin))

    def refuses(self, *arguments, stdin="", code=1):
        """The program must say one line on stderr, nothing on stdout, and exit with `code`. Returns the line."""
        done = self.run(*arguments, stdin=stdin)
        complaint = done.stderr.decode()
        assert done.returncode == code, (arguments, done.returncode, complaint)
        assert done.stdout == b""
        assert complaint.startswith("lancet: ") and complaint.count("\n") == 1 and complaint.endswith("\n"), complaint
        return complaint.strip()

    def logits(self, model, ids, out, *flags):
        """All logits of `ids` as f32 [positions, vocabulary]."""
        self.json("score", "-m", model, "--tokens", comma(ids), "--logits", out, *flags)
        return np.fromfile(out, "<f4").reshape(len(ids), -1)

    def greedy(self, model, ids, count, *flags):
        """`count` greedy tokens after `ids`; fewer if the model ends the text."""
        return self.json("generate", "-m", model, "--tokens", comma(ids), "-n", count, "--temperature", 0, *flags)


def comma(ids):
    return ",".join(str(i) for i in ids)


def run_tool(name, *arguments):
    subprocess.run([sys.executable, TOOLS / name, *map(str, arguments)], check=True, capture_output=True, timeout=300)


@pytest.fixture(scope="session")
def lancet():
    binary = Path(os.environ.get("LANCET_BINARY", ROOT / "build" / "lancet"))
    if not binary.exists():
        pytest.fail(f"{binary} does not exist: make build, or set LANCET_BINARY")
    return Lancet(binary)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The folder of the tiny checkpoints, with broken/ inside."""
    given = os.environ.get("LANCET_TEST_CHECKPOINTS")
    if given:
        return Path(given)
    out = tmp_path_factory.mktemp("checkpoints")
    run_tool("make_test_checkpoints.py", out, "--broken")
    return out


@functools.cache
def fetched_smollm2():
    """The path of SmolLM2's GGUF, or the reason why there is none."""
    done = subprocess.run([TOOLS / "fetch_smollm2.sh"], capture_output=True, text=True, timeout=600, check=False)
    return (Path(done.stdout.strip()), "") if done.returncode == 0 else (None, done.stderr.strip()[-200:])


@pytest.fixture(scope="session")
def smol_gguf():
    path, why = fetched_smollm2()
    if not path:
        pytest.skip(f"DID NOT RUN: tools/fetch_smollm2.sh: {why}")
    return path


@pytest.fixture(scope="session")
def smol_fp8(smol_gguf):
    """SmolLM2 in Ministral's FP8 layout. Kept in build/ under the digest of the tools that make it: 164 MB, 10 seconds."""
    sources = [TOOLS / "smol_to_ministral.py", TOOLS / "checkpoint_io.py"]
    digest = hashlib.sha256(b"".join(s.read_bytes() for s in sources)).hexdigest()[:12]
    out = ROOT / "build" / "testdata" / f"smol-fp8-{digest}"
    if not out.exists():
        unfinished = out.with_name(f"{out.name}.{os.getpid()}")
        run_tool("smol_to_ministral.py", smol_gguf, unfinished)
        unfinished.rename(out)
    return out


@pytest.fixture(scope="session", autouse=True)
def pack_cache(tmp_path_factory):
    """Packed weights of test models are nothing for the user's own cache."""
    folder = tmp_path_factory.mktemp("packed")
    os.environ["LANCET_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def default_served_model():
    """The HTTP tests serve SmolLM2 unless $LANCET_TEST_MODEL names another model."""
    path, _ = fetched_smollm2()
    if path:
        os.environ.setdefault("LANCET_TEST_MODEL", str(path))


@pytest.fixture(scope="session")
def tiny_reference():
    return TinyReference()


class TinyReference:
    """tests/data/reference: what transformers computes on the tiny checkpoints, in f32."""

    def __init__(self):
        facts = json.loads((DATA / "reference" / "tiny.json").read_text())
        numbers = np.fromfile(DATA / "reference" / "tiny.f32", "<f4")
        self.prompts, self.greedy = facts["prompts"], facts["greedy"]
        self.logits = {a["name"]: numbers[a["offset"]:a["offset"] + a["rows"] * a["cols"]].reshape(a["rows"], a["cols"])
                       for a in facts["arrays"]}


def lines_until_ready(process):
    """What `lancet serve`, started with stderr=PIPE and text=True, says until its model answers; then it is ended."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "ready: " in line:
            break
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0, lines
    return lines
