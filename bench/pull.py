#!/usr/bin/env python3
"""How fast `lancet pull` fetches and verifies: a hub on loopback that sends one large file by sendfile(2).

    bench/pull.py [--lancet build/lancet] [--folder /dev/shm] [--gigabytes 2] [--runs 5] [--peer]

The hub is a process of its own and keeps the file under --folder, as the cache; a tmpfs takes the disk out of the figure, any other
folder leaves it in. Each run pulls into an empty cache. One JSON line: the median, every run in GB/s, the processor time of one GB (of the
client alone), and how fast the folder takes as many bytes from one plain writer right before each run. --peer: the same of
huggingface_hub (PyPI), which does not verify.
"""
import argparse
import hashlib
import json
import multiprocessing
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMMIT, NAME, REPOSITORY = "0" * 40, "model-Q8_0.gguf", "bench/model"
PEER = "import sys; from huggingface_hub import hf_hub_download; hf_hub_download(sys.argv[1], sys.argv[2])"


def make_file(path, size):
    """Random bytes, one block of them over and over; returns the sha256."""
    block, digest = os.urandom(1 << 20), hashlib.sha256()
    with open(path, "wb") as file:
        for at in range(0, size, len(block)):
            piece = block[:size - at]
            file.write(piece)
            digest.update(piece)
    return digest.hexdigest()


def write_rate(path, size):
    """GB/s of one writer and fsync; what the system must first find memory for is found then."""
    block, start = bytes(1 << 20), time.perf_counter()
    with open(path, "wb") as file:
        for _ in range(0, size, len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    took = time.perf_counter() - start
    path.unlink()
    return size / took / 1e9


def serve(path, digest, address):
    """The hub; puts its port into `address`."""
    size = path.stat().st_size

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self, status, length, **headers):
            self.send_response(status)
            for name, value in (headers | {"Content_Length": length}).items():
                self.send_header(name.replace("_", "-"), str(value))
            self.end_headers()

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            if self.path.startswith("/api/"):
                file = {"rfilename": NAME, "size": size, "blobId": "0" * 40, "lfs": {"sha256": digest, "size": size, "pointerSize": 134}}
                body = json.dumps({"id": REPOSITORY, "sha": COMMIT, "siblings": [file]}).encode()
                self.answer(200, len(body), Content_Type="application/json")
                self.wfile.write(body)
                return
            span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            first, last = (int(span[1]), int(span[2] or size - 1)) if span else (0, size - 1)
            part = {"Content_Range": f"bytes {first}-{last}/{size}"} if span else {}
            self.answer(206 if span else 200, last + 1 - first, ETag=f'"{digest}"', X_Repo_Commit=COMMIT, **part)
            if self.command == "HEAD":
                return
            self.wfile.flush()
            with open(path, "rb") as file:
                while first <= last:
                    first += os.sendfile(self.connection.fileno(), file.fileno(), first, last + 1 - first)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        address.send(server.server_port)
        server.serve_forever()


def run(command, cache, port):
    """Seconds of the clock and of processors that one pull into an empty cache took."""
    environment = os.environ | {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_XET": "1",
                                "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    took, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    shutil.rmtree(cache)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(engine, command, folder, port, args, size):
    writes, runs = [], []
    for _ in range(args.runs):
        writes.append(write_rate(folder / "plain", size))
        runs.append(run(command, folder / "cache", port))
    rates = [size / took / 1e9 for took, _ in runs]
    print(json.dumps({"engine": engine, "gb_s": round(statistics.median(rates), 3), "runs": [round(r, 3) for r in rates],
                      "cpu_s_per_gb": round(statistics.median(cpu for _, cpu in runs) / size * 1e9, 3),
                      "plain_writes_gb_s": [round(rate, 2) for rate in writes]}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lancet", default=str(HERE.parent / "build" / "lancet"))
    parser.add_argument("--folder", default="/dev/shm")
    parser.add_argument("--gigabytes", type=float, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peer", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        file, size = Path(folder) / NAME, int(args.gigabytes * 1e9)
        digest = make_file(file, size)
        ours, theirs = multiprocessing.Pipe()
        hub = multiprocessing.Process(target=serve, args=(file, digest, theirs))
        hub.start()
        try:
            port = ours.recv()
            measure("lancet", [args.lancet, "pull", REPOSITORY], Path(folder), port, args, size)
            if args.peer:
                measure("huggingface_hub", [sys.executable, "-c", PEER, REPOSITORY, NAME], Path(folder), port, args, size)
        finally:
            hub.terminate()
            hub.join()


if __name__ == "__main__":
    main()
