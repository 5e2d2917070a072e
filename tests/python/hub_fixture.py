"""A model hub of our own on loopback, which can misbehave.

It speaks what `lancet pull` and huggingface_hub ask: the repository's document, the tree, and files by revision. Large
files (lfs) are redirected to a second port, the "store", as the real hub does. A test plants faults: `hub.faults[name]` is
a list of functions, one for each request of that file's bytes (or of the document, under "info"); each gets the request
and answers it, or returns False to have it answered well. Every request is kept in `hub.requests`.
"""
import dataclasses
import hashlib
import json
import os
import re
import ssl
import subprocess
import threading
import urllib.parse
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

LARGE = (".safetensors", ".gguf", ".bin", ".pt")


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclasses.dataclass
class File:
    """What is served, and what is said about it; a test may make the two differ."""
    data: bytes
    large: bool
    digest: str
    size: int

    @staticmethod
    def of(name, data):
        large = name.endswith(LARGE)
        digest = hashlib.sha256(data).hexdigest() if large else git_sha1(data)
        return File(data, large, digest, len(data))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        if "Content_Length" not in headers and "Transfer_Encoding" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code, message="no"):
        self.answer(status, b"", X_Error_Code=code, X_Error_Message=message)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub = self.server.hub
        path, _, query = self.path.partition("?")
        path = urllib.parse.unquote(path)
        hub.requests.append((self.server.role, self.command, path, dict(self.headers)))
        try:
            if self.server.role == "store":
                hub.send_file(self, *hub.stored[path])
            elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/(.+)", path):
                hub.send_document(self, *found.groups())
            elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/(refs/pr/\d+|[^/]+)/(.+)", path):
                hub.send_resolved(self, *found.groups())
            else:
                self.error(404, "RepoNotFound")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, hub, role, certificate=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub, self.role = hub, role
        self.url = f"http{'s' if certificate else ''}://{'localhost' if certificate else '127.0.0.1'}:{self.server_port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a client that is killed leaves broken connections behind


class Hub:
    def __init__(self, certificate=None, store_certificate=None):
        self.refs = defaultdict(dict)     # repository -> branch or tag -> commit
        self.commits = defaultdict(dict)  # repository -> commit -> name -> File
        self.stored = {}                  # path in the store -> (name, File)
        self.faults = defaultdict(list)
        self.requests = []
        self.token = None
        self.endpoint, self.store = Server(self, "endpoint", certificate), Server(self, "store", store_certificate)
        self.url = self.endpoint.url

    def close(self):
        for server in (self.endpoint, self.store):
            server.shutdown()
            server.server_close()

    def add(self, repo, files, refs=("main",)):
        """A commit with these files (name -> bytes or File); returns its name."""
        files = {name: File.of(name, data) if isinstance(data, bytes) else data for name, data in files.items()}
        commit = hashlib.sha1(repr(sorted((n, f.digest) for n, f in files.items())).encode()).hexdigest()
        self.commits[repo][commit] = files
        for ref in refs:
            self.refs[repo][ref] = commit
        return commit

    def fetched(self, name=None):
        """Names of the files whose bytes were asked for, once a GET."""
        names = [path.rsplit("/", 1)[1] for role, command, path, _ in self.requests
                 if role == "endpoint" and command == "GET" and "/resolve/" in path]
        return [n for n in names if name in (None, n)]

    def send_document(self, handler, repo, kind, revision):
        if self.faults["info"] and self.faults["info"].pop(0)(handler) is not False:
            return
        if self.token and handler.headers.get("Authorization") != f"Bearer {self.token}":
            return handler.error(401, "GatedRepo", "Access to model is restricted")
        commit = self.refs[repo].get(revision, revision)
        if repo not in self.commits:
            return handler.error(404, "RepoNotFound", "Repository not found")
        if commit not in self.commits[repo]:
            return handler.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        entries = self.commits[repo][commit].items()
        if kind == "tree":
            document = [{"type": "file", "path": n, "size": f.size, "oid": git_sha1(f.data)} |
                        ({"lfs": {"oid": f.digest, "size": f.size, "pointerSize": 134}} if f.large else {})
                        for n, f in entries]
        else:
            document = {"id": repo, "modelId": repo, "sha": commit, "private": False, "gated": False, "disabled": False,
                        "tags": [], "downloads": 0, "likes": 0, "siblings": [
                            {"rfilename": n, "size": f.size, "blobId": f.digest if not f.large else git_sha1(f.data)} |
                            ({"lfs": {"sha256": f.digest, "size": f.size, "pointerSize": 134}} if f.large else {})
                            for n, f in entries]}
        handler.answer(200, json.dumps(document).encode(), Content_Type="application/json")

    def send_resolved(self, handler, repo, revision, name):
        commit = self.refs[repo].get(revision, revision)
        file = self.commits[repo].get(commit, {}).get(name)
        if not file:
            return handler.error(404, "EntryNotFound")
        if not file.large:
            return self.send_file(handler, name, file, {"X_Repo_Commit": commit, "ETag": f'"{file.digest}"'})
        path = f"/store/{file.digest}"
        self.stored[path] = (name, file)
        handler.answer(302, b"", Location=self.store.url + path + "?signature=secret", X_Repo_Commit=commit,
                       X_Linked_Etag=f'"{file.digest}"', X_Linked_Size=file.size, ETag='"of-the-redirect"')

    def send_file(self, handler, name, file, headers=None):
        headers = headers or {"ETag": '"of-the-store"'}
        if handler.command != "HEAD" and self.faults[name] and self.faults[name].pop(0)(handler, file) is not False:
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", "bytes=0-"))[1])
        if start:
            headers["Content_Range"] = f"bytes {start}-{len(file.data) - 1}/{len(file.data)}"
        handler.answer(206 if start else 200, memoryview(file.data)[start:], **headers)


# Faults of a file's bytes.

def ignore_range(handler, file):
    handler.answer(200, file.data)


def drop_after(count):
    """A connection that breaks off after so many bytes of the answer."""
    def fault(handler, file):
        start = int(re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", "bytes=0-"))[1])
        headers = {"Content_Range": f"bytes {start}-{len(file.data) - 1}/{len(file.data)}"} if start else {}
        handler.answer(206 if start else 200, file.data[start:start + count], Content_Length=len(file.data) - start, **headers)
        handler.close_connection = True
        handler.connection.close()
    return fault


def status(code, **headers):
    return lambda handler, file=None: handler.answer(code, b"", **headers)


def page(handler, file=None):
    handler.answer(200, b"<html>Please log in to Hotel Wifi</html>", Content_Type="text/html; charset=utf-8")


class Cache:
    """A cache folder of its own, and `lancet` run on it against a hub."""

    def __init__(self, lancet, folder, hub=None):
        self.lancet, self.folder = lancet, folder
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
        self.environment |= {"HF_HUB_CACHE": str(folder), "HF_HOME": str(folder) + "-home"}
        if hub:
            self.environment["HF_ENDPOINT"] = hub.url

    def start(self, *arguments, **options):
        return subprocess.Popen([self.lancet.binary, *map(str, arguments)], env=self.environment, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, **options)

    def run(self, *arguments, code=0, **options):
        """(stdout, stderr) of a run that must end with `code`."""
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, (arguments, process.returncode, out, err)
        return out, err

    def pull(self, model, *flags, **options):
        return json.loads(self.run("pull", model, "--json", *flags, **options)[0])

    def refuses(self, model, *flags, **options):
        """The last line that a failing pull says; nothing on stdout."""
        out, err = self.run("pull", model, *flags, code=1, **options)
        assert out == ""
        return err.strip().splitlines()[-1]

    def repository(self, repo):
        return self.folder / ("models--" + repo.replace("/", "--"))

    def blob(self, repo, file):
        return self.repository(repo) / "blobs" / file.digest

    def check(self, repo, commit, files):
        """Every file of the snapshot is a link to its blob, and holds what the hub has."""
        for name, data in files.items():
            link = self.repository(repo) / "snapshots" / commit / name
            assert link.is_symlink() and not os.path.isabs(os.readlink(link))
            assert link.resolve() == self.blob(repo, File.of(name, data)).resolve()
            assert link.read_bytes() == data

    def no_wrong_file(self, repo):
        """What has a final name has the content of that name."""
        for blob in (self.repository(repo) / "blobs").glob("*"):
            if not blob.suffix:
                data = blob.read_bytes()
                assert blob.name in (git_sha1(data), hashlib.sha256(data).hexdigest())


@pytest.fixture
def hub():
    running = Hub()
    yield running
    running.close()


@pytest.fixture
def cache(lancet, tmp_path, hub):
    return Cache(lancet, tmp_path / "cache", hub)


@pytest.fixture
def files():
    return model_files()


def make_certificate(folder, *hosts):
    """(certificate, key), PEM files: one that signs itself, for these names."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    names = "subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", f"/CN={hosts[0]}", "-addext", names, "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


def model_files(weights=300_000, seed=1):
    """The files of a small repository as published: both layouts of the weights, and what nobody needs."""
    data = hashlib.shake_256(b"%d" % seed).digest(weights)
    return {"config.json": b'{"model_type": "mistral3"}', "generation_config.json": b"{}", "tokenizer.json": b"[1]" * 50,
            "tokenizer_config.json": b"{ }", "chat_template.jinja": b"{{ messages }}", "processor_config.json": b"{\n}",
            "model.safetensors": data, "consolidated.safetensors": data[::-1], "params.json": b'{"dim": 1}',
            "tekken.json": b'{"vocab": []}', "pytorch_model.bin": b"pickle", "README.md": b"# A model",
            ".gitattributes": b"*"}


NEEDED = ["chat_template.jinja", "config.json", "generation_config.json", "model.safetensors", "processor_config.json",
          "tokenizer.json", "tokenizer_config.json"]


def wanted(files):
    return {name: files[name] for name in NEEDED}
