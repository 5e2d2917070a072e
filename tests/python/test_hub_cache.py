"""`lancet pull` beside others: processes that die, processes at once, huggingface_hub on the same cache, a person who
watches; `list` and `rm`; the commands that take a model."""
import json
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from conftest import lines_until_ready
from hub_fixture import File, cache, files, hub, model_files, wanted  # noqa: F401 (fixtures)

REPO = "owner/model"
KILLS = int(os.environ.get("LANCET_KILLS", "5"))


# Processes that die, and processes at once.

def test_two_processes_at_once_both_succeed(cache, hub):
    files = model_files(8_000_000)
    commit = hub.add(REPO, files)
    processes = [cache.start("pull", REPO, "--json") for _ in range(4)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0 and json.loads(out)["commit"] == commit, err
    cache.check(REPO, commit, wanted(files))
    assert hub.fetched("model.safetensors") == ["model.safetensors"]


def test_a_complete_cache_is_not_written_to(cache, hub, files):
    hub.add(REPO, files)
    path = cache.pull(REPO)["path"]
    shutil.rmtree(cache.folder / ".locks")
    (cache.folder / ".locks").write_text("no folder, so nobody can lock here")

    def state():
        return {str(p): p.lstat().st_mtime_ns for p in cache.folder.rglob("*")}
    before = state()
    assert cache.pull(REPO)["path"] == path and state() == before


def test_killed_anywhere_it_is_continued_and_right(cache, hub):
    """kill -9 at LANCET_KILLS random points of downloads. Never is a wrong file under a final name."""
    files = model_files(12_000_000)
    commit, chance, kills = hub.add(REPO, files), random.Random(7), 0
    began = time.monotonic()
    cache.pull(REPO)
    usual = time.monotonic() - began
    while kills < KILLS:
        shutil.rmtree(cache.folder)
        for _ in range(6):
            process = cache.start("pull", REPO)
            try:
                process.communicate(timeout=chance.uniform(0, 1.2 * usual))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                kills += 1
            if cache.repository(REPO).exists():
                cache.no_wrong_file(REPO)
        cache.pull(REPO)
        cache.check(REPO, commit, wanted(files))
    assert list((cache.repository(REPO) / "blobs").glob("*.*")) == []


# The other program.

def with_huggingface_hub(cache, code):
    """Runs Python with huggingface_hub on the same cache and hub."""
    pytest.importorskip("huggingface_hub", reason="DID NOT RUN: huggingface_hub is not installed")
    environment = cache.environment | {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run([sys.executable, "-c", "import huggingface_hub as hf\n" + code], env=environment, text=True,
                          capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_huggingface_hub_fetched_is_not_fetched_again(cache, hub, files):
    commit = hub.add(REPO, files)
    path = with_huggingface_hub(cache, f"print(hf.snapshot_download('{REPO}'))")
    hub.requests.clear()
    pulled = cache.pull(REPO)
    assert hub.fetched() == [] and pulled["fetched_bytes"] == 0 and pulled["path"] == path
    cache.check(REPO, commit, files)


def test_what_lancet_fetched_huggingface_hub_does_not_fetch(cache, hub, files):
    hub.add(REPO, wanted(files))
    pulled = cache.pull(REPO)
    hub.requests.clear()
    assert with_huggingface_hub(cache, f"print(hf.snapshot_download('{REPO}'))") == pulled["path"]
    assert hub.fetched() == [] and not [r for r in hub.requests if r[0] == "store"]
    hub.requests.clear()
    alone = with_huggingface_hub(cache, f"print(hf.snapshot_download('{REPO}', local_files_only=True), "
                                        "hf.scan_cache_dir().warnings)")
    assert alone == f"{pulled['path']} []" and hub.requests == []


# What is damaged on the disk, truncated or of another model.

def damaged(cache, file, data):
    """Writes other data under a blob's final name."""
    blob = cache.blob(REPO, file)
    blob.write_bytes(data)
    return blob


def expect_mended(cache, hub, commit, files, name, *flags):
    hub.requests.clear()
    cache.run("pull", REPO, *flags)
    assert hub.fetched() == [name]
    cache.check(REPO, commit, wanted(files))


def test_a_cached_file_of_another_size_is_fetched_again(cache, hub, files):
    commit = hub.add(REPO, files)
    cache.pull(REPO)
    for name in ("config.json", "model.safetensors"):
        right = files[name]
        for wrong in (b"", right[:-1], right + b"x", right[:len(right) // 2]):
            blob = damaged(cache, File.of(name, right), wrong)
            expect_mended(cache, hub, commit, files, name)
            assert blob.with_suffix(".corrupt").read_bytes() == wrong


def test_verify_finds_every_changed_byte_and_another_models_content(cache, hub, files):
    commit = hub.add(REPO, files)
    cache.pull(REPO)
    hub.requests.clear()
    cache.run("pull", REPO, "--verify")
    assert hub.fetched() == []
    for name in ("config.json", "model.safetensors"):
        right = files[name]
        places = range(len(right)) if name == "config.json" else (0, len(right) // 2, len(right) - 1)
        flipped = [right[:at] + bytes([right[at] ^ 0x10]) + right[at + 1:] for at in places]
        for wrong in [*flipped, model_files(seed=2)[name][::-1]]:
            blob = damaged(cache, File.of(name, right), wrong)
            expect_mended(cache, hub, commit, files, name, "--verify")
            assert blob.with_suffix(".corrupt").read_bytes() == wrong
    said = cache.run("pull", REPO, "--verify", "--offline", code=1)[1]
    assert "lancet doctor" in said


@pytest.mark.parametrize("wrong", [b"", b"\0" * 40, b"../../../etc", b"f" * 40, b"x" * 5000])
def test_a_damaged_reference_is_not_followed_and_is_mended(cache, hub, files, wrong):
    commit = hub.add(REPO, files)
    path = cache.pull(REPO)["path"]
    reference = cache.repository(REPO) / "refs" / "main"
    reference.write_bytes(wrong)
    assert cache.pull(REPO, "--offline")["path"] == path
    cache.run("list")
    cache.pull(REPO)
    assert reference.read_text() == commit


def test_a_snapshots_link_that_is_not_the_files_is_mended(cache, hub, files):
    commit = hub.add(REPO, files)
    cache.pull(REPO)
    link = cache.repository(REPO) / "snapshots" / commit / "config.json"
    for put in (lambda: link.symlink_to(cache.blob(REPO, File.of("tokenizer.json", files["tokenizer.json"]))),
                lambda: link.symlink_to("../../blobs/absent"), lambda: link.write_bytes(b"{}"), lambda: None):
        link.unlink()
        put()
        cache.pull(REPO)
        cache.check(REPO, commit, wanted(files))


# What people see.

def test_a_terminal_gets_a_bar(cache, hub):
    files = model_files(4_000_000)
    hub.add(REPO, files)

    def slowly(handler, file):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(file.data)))
        handler.end_headers()
        for at in range(0, len(file.data), 500_000):
            handler.wfile.write(file.data[at:at + 500_000])
            time.sleep(0.12)
    hub.faults["model.safetensors"] = [slowly]
    ours, theirs = pty.openpty()
    process = subprocess.Popen([cache.lancet.binary, "pull", REPO], env=cache.environment, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:
            break
    os.close(ours)
    assert process.wait(timeout=60) == 0
    process.stdout.close()
    text = shown.decode()
    assert "\r[###" in text and "100 %" in text and "/s" in text and "left" in text and "4.0 MB in 7 files" in text


def test_elsewhere_there_are_lines_and_stdout_is_the_path(cache, hub, files):
    commit = hub.add(REPO, files)
    out, err = cache.run("pull", REPO)
    assert out == f"{cache.repository(REPO)}/snapshots/{commit}\n"
    assert err.startswith(f"lancet: {REPO} at {commit[:12]}: 300 kB in 7 files, 300 kB to fetch\n")
    assert "\r" not in err and "\x1b" not in err


# list and rm.

def test_list_says_what_there_is(cache, hub, files):
    old = hub.add(REPO, files, refs=("v1",))
    cache.pull(REPO + "@v1")
    new = hub.add(REPO, files | {"config.json": b'{"new": true}'})
    cache.pull(REPO)
    (repository,) = json.loads(cache.run("list", "--json")[0])["repositories"]
    assert repository["repo"] == REPO and repository["unfinished_bytes"] == 0
    assert repository["bytes"] == sum(map(len, wanted(files).values())) + len(b'{"new": true}')
    assert {r["commit"]: r["refs"] for r in repository["revisions"]} == {old: ["v1"], new: ["main"]}
    shown = cache.run("list")[0]
    assert REPO in shown and "main" in shown and "300 kB" in shown


def test_rm_keeps_what_other_snapshots_use(cache, hub, files):
    old = hub.add(REPO, files, refs=("v1",))
    cache.pull(REPO + "@v1")
    new = hub.add(REPO, files | {"config.json": b'{"new": true}'})
    cache.pull(REPO)
    before = cache.run("rm", REPO + "@v1", "--dry-run", "--json")
    freed = json.loads(before[0])
    assert freed == {"removed": False, "files": 7, "freed_bytes": len(files["config.json"])} and "would remove" in before[1]
    cache.run("rm", REPO + "@v1")
    cache.check(REPO, new, wanted(files) | {"config.json": b'{"new": true}'})
    assert not (cache.repository(REPO) / "snapshots" / old).exists() and not (cache.repository(REPO) / "refs" / "v1").exists()
    cache.run("rm", REPO)
    assert not cache.repository(REPO).exists()
    assert "not in the cache" in cache.run("rm", REPO, code=1)[1]


def test_rm_takes_one_quant(cache, hub):
    names = ["M-Q4_K_M.gguf", "M-Q8_0-00001-of-00002.gguf", "M-Q8_0-00002-of-00002.gguf"]
    files = {name: name.encode() * 50 for name in names}
    commit = hub.add(REPO, files)
    cache.pull(REPO + ":Q4_K_M"), cache.pull(REPO + ":Q8_0")
    cache.run("rm", REPO + ":Q8_0")
    assert [p.name for p in (cache.repository(REPO) / "snapshots" / commit).iterdir()] == ["M-Q4_K_M.gguf"]
    cache.check(REPO, commit, {names[0]: files[names[0]]})
    assert len(list((cache.repository(REPO) / "blobs").iterdir())) == 1


def test_rm_follows_no_link_out_of_the_cache(cache, hub, files, tmp_path):
    commit = hub.add(REPO, files)
    cache.pull(REPO)
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "mine").write_text("mine")
    snapshot = cache.repository(REPO) / "snapshots" / commit
    (snapshot / "stray").symlink_to(outside / "deep" / "mine")
    (snapshot / "folder").symlink_to(outside)
    (cache.repository(REPO) / "blobs" / "linked").symlink_to(outside)
    cache.run("rm", f"{REPO}@{commit}")
    cache.pull(REPO)
    (snapshot / "folder").symlink_to(outside)
    cache.run("rm", REPO)
    cache.repository(REPO).symlink_to(outside)
    assert "leads out of the cache" in cache.run("rm", REPO, code=1)[1]
    assert (outside / "deep" / "mine").read_text() == "mine"
    for name in ("../x", "/etc", "owner/..", "owner"):
        cache.run("rm", name, code=1)


def hold(hub, name):
    """The next answer with this file waits: (set once it is asked for, to be set to let it go)."""
    reached, release = threading.Event(), threading.Event()

    def wait(handler, file):
        reached.set()
        release.wait(30)
        return False
    hub.faults[name] = [wait]
    return reached, release


def test_what_is_being_fetched_is_not_removed(cache, hub, files):
    hub.add(REPO, files)
    reached, release = hold(hub, "model.safetensors")
    process = cache.start("pull", REPO)
    assert reached.wait(30)
    said = cache.run("rm", REPO, code=1)[1]
    release.set()
    assert process.wait(timeout=30) == 0
    process.communicate()
    assert "another process is fetching it" in said


def test_what_is_removed_while_the_rest_is_fetched_is_fetched_again(cache, hub, files):
    old = hub.add(REPO, files)
    cache.pull(REPO)
    files["config.json"] = b'{"new": true}'
    new = hub.add(REPO, files)
    reached, release = hold(hub, "config.json")
    process = cache.start("pull", REPO)
    assert reached.wait(30)
    cache.run("rm", f"{REPO}@{old}")
    release.set()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0 and "was removed by another process" in err
    cache.check(REPO, new, wanted(files))


# Commands that take a model.

def tiny_files(tiny):
    return {path.name: path.read_bytes() for path in (tiny / "fp8-sharded").iterdir()}


def test_serve_fetches_what_is_missing_and_says_how_much(cache, hub, tiny):
    hub.add(REPO, tiny_files(tiny))
    process = cache.start("serve", "-m", REPO, "--port", "0", "--ctx", "512")
    said = "".join(lines_until_ready(process))
    assert "to fetch" in said and said.index("to fetch") < said.index("listening on") and "ready" in said, said


def test_other_commands_say_how_to_get_it(cache, hub, tiny):
    files = tiny_files(tiny)
    commit = hub.add(REPO, files)
    for command in (["generate", "-p", "x"], ["score", "--tokens", "1"], ["tokenize"]):
        assert "lancet pull owner/model" in cache.run(*command, "-m", REPO, code=1, stdin=subprocess.DEVNULL)[1]
    assert hub.requests == []
    cache.pull(REPO)
    assert json.loads(cache.run("generate", "-m", REPO, "--tokens", "1,2", "-n", 1, "--json")[0])["tokens"]
    shard = next(name for name in files if name.endswith("-of-00002.safetensors"))
    (cache.repository(REPO) / "snapshots" / commit / shard).unlink()
    said = cache.run("generate", "-m", REPO, "--tokens", "1", code=1)[1]
    assert shard in said and "lancet pull owner/model" in said
