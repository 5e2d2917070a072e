"""Starts `lancet serve` for the tests of a session and says where it listens.

The binary is $LANCET_BINARY (default: build/lancet), the model SmolLM2. Without it the tests are skipped, loudly: what
they check needs a real one.
"""

import json
import os
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import fetched_smollm2

ROOT = Path(__file__).resolve().parents[2]


class RunningServer:
    def __init__(self, process, port):
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def health(self):
        try:
            with urllib.request.urlopen(self.url + "/health", timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def wait_until_ready(self, seconds):
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            status, _ = self.health()
            if status == 200:
                return
            time.sleep(0.05)
        raise RuntimeError("the server did not become ready")


def start_server(*flags, ready_s=120, model=None):
    binary = os.environ.get("LANCET_BINARY", str(ROOT / "build" / "lancet"))
    if model is None:
        model, why = fetched_smollm2()
        if not model:
            pytest.skip(f"DID NOT RUN: tools/fetch_smollm2.sh: {why}")
    process = subprocess.Popen(
        [binary, "serve", "-m", str(model), "--port", "0", *flags], stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr:
        found = re.search(r"listening on https?://[^ ]*:(\d+)", line)
        if found:
            break
    else:
        raise RuntimeError(f"lancet serve ended with {process.wait()}")
    # The pipe is read to its end, or the server would block on it.
    threading.Thread(target=lambda: process.stderr.read(), daemon=True).start()
    server = RunningServer(process, int(found.group(1)))
    server.wait_until_ready(ready_s)
    return server


@pytest.fixture(scope="module")
def server():
    running = start_server("--ctx", "2048", "--parallel", "4")
    yield running
    running.process.terminate()
    assert running.process.wait(timeout=20) == 0, "SIGTERM ends the server with 0"
