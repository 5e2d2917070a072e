"""Downloads from a hub that misbehaves: the right bytes under the final name, or a sentence."""
import os
import resource
import subprocess
import threading
import time
from email.utils import formatdate

import pytest

import hub_fixture
from hub_fixture import Cache, File, cache, drop_after, files, hub, model_files, wanted  # noqa: F401 (fixtures)

REPO = "owner/model"


def large(files):
    return File.of("model.safetensors", files["model.safetensors"])


def leave_partial(cache, file, data):
    """What an earlier process left of a file."""
    blob = cache.blob(REPO, file)
    blob.parent.mkdir(parents=True)
    blob.with_name(blob.name + ".incomplete").write_bytes(data)


def ranges(hub):
    return [headers.get("Range") for role, command, _, headers in hub.requests if role == "store"]


# What is fetched, and how it lies in the cache.

def test_only_the_needed_files_are_fetched_and_once(cache, hub, files):
    commit = hub.add(REPO, files)
    pulled = cache.pull(REPO)
    assert sorted(hub.fetched()) == sorted(wanted(files)) == sorted(f["name"] for f in pulled["files"])
    assert pulled["commit"] == commit and pulled["fetched_bytes"] == pulled["bytes"] == sum(map(len, wanted(files).values()))
    cache.check(REPO, commit, wanted(files))
    assert (cache.repository(REPO) / "refs" / "main").read_text() == commit
    assert pulled["path"] == str(cache.repository(REPO) / "snapshots" / commit)
    hub.requests.clear()
    assert cache.pull(REPO)["fetched_bytes"] == 0 and hub.fetched() == []


def test_mistrals_own_layout_is_taken_where_there_is_no_other(cache, hub, files):
    hub.add(REPO, {k: v for k, v in files.items() if k not in ("config.json", "model.safetensors", "tokenizer.json")})
    cache.pull(REPO)
    assert {"consolidated.safetensors", "params.json", "tekken.json"} < set(hub.fetched())
    assert "pytorch_model.bin" not in hub.fetched()


def test_a_quant_picks_one_gguf_its_parts_and_its_image_part(cache, hub):
    names = ["M-Q4_K_M.gguf", "M-BF16.gguf", "M-Q8_0-00001-of-00003.gguf", "M-Q8_0-00002-of-00003.gguf",
             "M-Q8_0-00003-of-00003.gguf", "M-BF16-mmproj.gguf", "config.json"]
    commit = hub.add(REPO, {name: name.encode() * 99 for name in names})
    pulled = cache.pull(REPO + ":q8_0")
    assert sorted(hub.fetched()) == sorted([n for n in names if "Q8_0" in n] + ["M-BF16-mmproj.gguf"])
    assert pulled["path"] == str(cache.repository(REPO) / "snapshots" / commit / "M-Q8_0-00001-of-00003.gguf")
    said = cache.refuses(REPO + ":Q2_K")
    assert '"Q2_K"' in said and "M-Q4_K_M.gguf" in said
    assert "say which one" in cache.refuses(REPO)


def test_what_other_formats_there_are_is_said(cache, hub):
    hub.add(REPO, {"pytorch_model.bin": b"x", "config.json": b"{}"})
    assert "pytorch_model.bin" in cache.refuses(REPO)


def test_a_pinned_revision_is_of_one_commit_though_main_moves(cache, hub, files):
    old = hub.add(REPO, files, refs=("main", "v1", "refs/pr/1"))
    new = hub.add(REPO, model_files(seed=2))
    for revision in ("v1", "refs/pr/1", old):
        assert cache.pull(REPO, "--revision", revision)["commit"] == old
    asked = {path.split("/resolve/")[1].split("/")[0] for _, _, path, _ in hub.requests if "/resolve/" in path}
    assert asked == {old}
    cache.check(REPO, old, wanted(files))
    assert (cache.repository(REPO) / "refs" / "refs" / "pr" / "1").read_text() == old
    assert not (cache.repository(REPO) / "refs" / "main").exists()
    assert cache.pull(f"{REPO}@main")["commit"] == new
    assert "no such revision" in cache.refuses(REPO, "--revision", "v9")


# Transfers that go wrong.

def test_an_unfinished_download_is_continued(cache, hub, files):
    commit, file = hub.add(REPO, files), large(files)
    leave_partial(cache, file, file.data[:123_456])
    pulled = cache.pull(REPO)
    assert ranges(hub) == ["bytes=123456-"]
    assert pulled["fetched_bytes"] == pulled["bytes"] - 123_456
    cache.check(REPO, commit, wanted(files))
    assert list((cache.repository(REPO) / "blobs").glob("*.incomplete")) == []


def test_a_download_that_only_lacked_its_name_is_not_fetched(cache, hub, files):
    hub.add(REPO, files)
    leave_partial(cache, large(files), files["model.safetensors"])
    cache.pull(REPO)
    assert ranges(hub) == []


@pytest.mark.parametrize("left", [lambda data: data[:1000], lambda data: b"\0" * 1000, lambda data: data + b"more"])
def test_a_server_that_ignores_ranges_is_taken_from_the_beginning(cache, hub, files, left):
    commit = hub.add(REPO, files)
    leave_partial(cache, large(files), left(files["model.safetensors"]))
    hub.faults["model.safetensors"] = [hub_fixture.ignore_range]
    cache.pull(REPO)
    cache.check(REPO, commit, wanted(files))


def test_a_damaged_part_of_an_earlier_process_is_fetched_again(cache, hub, files):
    commit = hub.add(REPO, files)
    leave_partial(cache, large(files), b"\0" * 1000)
    assert "damaged" in cache.run("pull", REPO)[1]
    cache.check(REPO, commit, wanted(files))


def test_a_broken_connection_is_continued(cache, hub, files):
    commit = hub.add(REPO, files)
    hub.faults["model.safetensors"] = [drop_after(100_000), drop_after(50_000)]
    out, err = cache.run("pull", REPO)
    assert ranges(hub) == [None, "bytes=100000-", "bytes=150000-"] and err.count("trying again") == 2
    cache.check(REPO, commit, wanted(files))


@pytest.mark.parametrize("said", ["bytes 0-299999/300000", "bytes 1000-299999/299999", "bytes 1000-1999999/300000", "nonsense"])
def test_another_range_than_asked_for_is_refused(cache, hub, files, said):
    hub.add(REPO, files)
    leave_partial(cache, large(files), files["model.safetensors"][:1000])
    hub.faults["model.safetensors"] = [lambda h, f: h.answer(206, f.data[1000:], Content_Range=said)]
    assert "asked for the bytes from 1000 of 300000" in cache.refuses(REPO)
    cache.no_wrong_file(REPO)


def test_more_bytes_than_the_file_has_are_refused(cache, hub, files):
    hub.add(REPO, files)
    hub.faults["model.safetensors"] = [lambda h, f: h.answer(200, f.data + b"more")]
    assert "has 300000 bytes, the server sends more" in cache.refuses(REPO)
    cache.no_wrong_file(REPO)


def test_fewer_bytes_are_asked_for_again_and_then_refused(cache, hub, files):
    hub.add(REPO, files)
    hub.faults["model.safetensors"] = [lambda h, f: h.answer(200, f.data[:1000]),
                                       lambda h, f: h.answer(206, b"", Content_Range="bytes 1000-299999/300000")]
    assert "sent 1000 of 300000 bytes" in cache.refuses(REPO, "--attempts", 2)
    cache.no_wrong_file(REPO)


def test_a_server_that_refuses_to_continue_is_asked_for_everything(cache, hub, files):
    commit = hub.add(REPO, files)
    leave_partial(cache, large(files), files["model.safetensors"][:1000])
    hub.faults["model.safetensors"] = [hub_fixture.status(416)]
    cache.pull(REPO)
    cache.check(REPO, commit, wanted(files))


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_other_content_than_promised_is_kept_aside_and_refused(cache, hub, files, name):
    hub.add(REPO, files)
    hub.faults[name] = [lambda h, f: h.answer(200, f.data[:-1] + b"?")]
    said = cache.refuses(REPO)
    blob = cache.blob(REPO, File.of(name, files[name]))
    assert name in said and blob.name in said
    assert not blob.exists() and blob.with_suffix(".corrupt").read_bytes() == files[name][:-1] + b"?"
    cache.pull(REPO)
    assert blob.read_bytes() == files[name]


def test_a_repository_that_changes_meanwhile_is_begun_anew(cache, hub, files):
    old, now = hub.add(REPO, files), model_files(seed=2)

    def move(handler, file):
        hub.add(REPO, now)
        other = File.of("x.safetensors", now["model.safetensors"])
        handler.answer(200, other.data, X_Repo_Commit=hub.refs[REPO]["main"], ETag=f'"{other.digest}"')
    hub.faults["tokenizer.json"] = [move]
    out, err = cache.run("pull", REPO)
    assert "changed on the hub" in err
    cache.check(REPO, hub.refs[REPO]["main"], wanted(now))
    assert not (cache.repository(REPO) / "snapshots" / old).exists()
    cache.no_wrong_file(REPO)


def test_a_stalled_transfer_is_given_up(cache, hub, files):
    hub.add(REPO, files)
    release = threading.Event()

    def stall(handler, file):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(file.data)))
        handler.end_headers()
        handler.wfile.write(file.data[:10])
        handler.wfile.flush()
        release.wait(30)
        handler.close_connection = True
    hub.faults["model.safetensors"] = [stall]
    said = cache.refuses(REPO, "--stall", 1, "--attempts", 1)
    release.set()
    assert "sends less than 1 kB/s" in said
    cache.pull(REPO)
    assert ranges(hub)[-1] == "bytes=10-"


# Answers that are no files.

@pytest.mark.parametrize("code,headers,says", [
    (401, {}, "does not exist, is private or is gated; no token was found in --token-file, $HF_TOKEN"),
    (401, {"X_Error_Code": "GatedRepo"}, "gated"), (403, {}, "gated"), (404, {}, "does not exist"),
    (404, {"X_Error_Code": "RepoNotFound", "X_Error_Message": "gone\x07"}, "does not exist"),
    (418, {}, "HTTP 418"), (500, {}, "HTTP 500, 2 times in a row"), (503, {}, "HTTP 503, 2 times in a row"),
    (429, {"Retry_After": "4000"}, "wants to be left alone for 4000 s")])
def test_every_refusal_has_its_sentence(cache, hub, files, code, headers, says):
    hub.add(REPO, files)
    hub.faults["info"] = [hub_fixture.status(code, **headers)] * 2
    said = cache.refuses(REPO, "--attempts", 2)
    assert says in said and REPO in said and "\x07" not in said
    assert not cache.folder.exists()


@pytest.mark.parametrize("retry_after", [lambda: "1", lambda: formatdate(time.time() + 2, usegmt=True)])
def test_retry_after_is_honoured(cache, hub, files, retry_after):
    hub.add(REPO, files)
    asked = []

    def busy(handler):
        asked.append(time.monotonic())
        handler.answer(429, b"", Retry_After=retry_after())
    hub.faults["info"] = [busy, lambda handler: asked.append(time.monotonic()) or False]
    cache.pull(REPO)
    assert 0.9 <= asked[1] - asked[0] < 5


def test_errors_that_pass_are_tried_again(cache, hub, files):
    commit = hub.add(REPO, files)
    hub.faults["info"] = [hub_fixture.status(502)]
    hub.faults["config.json"] = [hub_fixture.status(500)]
    cache.pull(REPO)
    cache.check(REPO, commit, wanted(files))


@pytest.mark.parametrize("name", ["info", "config.json", "model.safetensors"])
def test_a_web_page_instead_of_data_is_explained(cache, hub, files, name):
    hub.add(REPO, files)
    hub.faults[name] = [hub_fixture.page]
    assert "a web page instead of the data" in cache.refuses(REPO)


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"sha": 5}', b"\xff", b"[" * 100_000,
                                      b'{"sha": "%s", "siblings": 1}' % (b"0" * 40)])
def test_a_document_that_is_none_is_refused(cache, hub, document):
    hub.faults["info"] = [lambda handler: handler.answer(200, document)]
    assert "the hub's answer about owner/model" in cache.refuses(REPO)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "x\0y", "a//x", "n" * 300, "a\\..\\x"])
def test_names_that_lead_elsewhere_are_refused(cache, hub, files, name):
    hub.add(REPO, files | {name: b"x"})
    assert "wanted a relative name that stays inside its folder" in cache.refuses(REPO)
    assert hub.fetched() == [] and not cache.folder.exists()


def test_a_name_that_windows_keeps_for_a_device_is_refused_where_it_is_wanted(cache, hub, files):
    commit = hub.add(REPO, files | {"con.json": b"x", "code/aux.py": b"x"})
    cache.pull(REPO)
    cache.check(REPO, commit, wanted(files))
    hub.add("owner/device", {"con.gguf": b"x"})
    assert "is a device on Windows" in cache.refuses("owner/device")
    assert "con.gguf" not in hub.fetched() and not cache.repository("owner/device").exists()


@pytest.mark.parametrize("digest", ["../../x", "A" * 64, "0" * 63, ""])
def test_digests_that_are_none_are_refused(cache, hub, files, digest):
    hub.add(REPO, files | {"model.safetensors": File(b"x", True, digest, 1)})
    assert "wanted 64 hex digits" in cache.refuses(REPO)
    assert not cache.folder.exists()


# Whom the token is shown to, and where it comes from.

def authorizations(hub, role):
    return {headers.get("Authorization") for r, _, _, headers in hub.requests if r == role}


def test_the_token_goes_to_the_endpoint_only(cache, hub, files, tmp_path):
    hub.add(REPO, files)
    hub.token = "hf_flag"
    (tmp_path / "token").write_text("hf_flag\n")
    cache.environment["HF_TOKEN"] = "hf_environment"
    assert "token in $HF_TOKEN" in cache.refuses(REPO)
    hub.requests.clear()
    cache.pull(REPO, "--token-file", tmp_path / "token")
    assert authorizations(hub, "endpoint") == {"Bearer hf_flag"} and authorizations(hub, "store") == {None}


@pytest.mark.parametrize("place", ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME"])
def test_tokens_are_found_where_huggingface_hub_finds_them(cache, hub, files, tmp_path, place):
    hub.add(REPO, files)
    hub.token = "hf_good"
    home = tmp_path / "hf"
    home.mkdir()
    (home / "token").write_text("hf_good")
    cache.environment[place] = {"HF_TOKEN": "hf_good", "HF_TOKEN_PATH": str(home / "token"), "HF_HOME": str(home)}[place]
    cache.pull(REPO)


@pytest.mark.parametrize("token", ["two words", "line\nbreak: x", "caf\u00e9"])
def test_a_token_that_cannot_be_one_is_refused_and_not_shown(cache, hub, token):
    cache.environment["HF_TOKEN"] = token
    said = cache.refuses(REPO)
    assert "$HF_TOKEN: holds no token" in said and token not in said and hub.requests == []


def test_a_signed_address_is_not_shown(cache, hub, files):
    hub.add(REPO, files)
    hub.faults["model.safetensors"] = [hub_fixture.status(500)]
    assert "secret" not in cache.refuses(REPO, "--attempts", 1)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return hub_fixture.make_certificate(tmp_path_factory.mktemp("tls"), "localhost")


def test_https_is_not_left_for_http_and_names_are_checked(lancet, tmp_path, files, certificate):
    hub = hub_fixture.Hub(certificate)
    cache = Cache(lancet, tmp_path / "cache", hub)
    hub.add(REPO, files)
    assert "certificate" in cache.refuses(REPO, "--attempts", 1)  # not trusted
    cache.environment["SSL_CERT_FILE"] = str(certificate[0])
    assert "redirects from https to http://127.0.0.1: refused" in cache.refuses(REPO, "--attempts", 1)
    assert [role for role, *_ in hub.requests if role == "store"] == []
    cache.environment["HF_ENDPOINT"] = hub.url.replace("localhost", "127.0.0.1")
    assert "does not trust for that name" in cache.refuses(REPO, "--attempts", 1)
    hub.close()


@pytest.mark.parametrize("location,says", [("file:///etc/passwd", "refused"), ("ftp://x/y", "refused"), ("", "no address"),
                                           ("SELF", "redirects more than 5 times")])
def test_redirects_that_lead_nowhere_good_are_refused(cache, hub, files, location, says):
    hub.add(REPO, files)
    target = f"{hub.url}/api/models/{REPO}/revision/main" if location == "SELF" else location
    hub.faults["info"] = [lambda handler: handler.answer(302, b"", Location=target)] * 7
    assert says in cache.refuses(REPO, "--attempts", 1)


@pytest.mark.parametrize("endpoint,says", [("http://no-such-host.invalid", "could not be looked up"),
                                           ("http://127.0.0.1:1", "no connection to 127.0.0.1"), ("ftp://x", "wanted an address"),
                                           ("hub.example", "wanted an address")])
def test_a_hub_that_cannot_be_reached_is_named(cache, endpoint, says):
    cache.environment["HF_ENDPOINT"] = endpoint
    assert says in cache.refuses(REPO, "--attempts", 1)


def test_a_proxy_is_used(cache, hub, files):
    hub.add(REPO, files)
    cache.environment |= {"HF_ENDPOINT": "http://hub.example", "http_proxy": hub.url}
    hub.faults["info"] = [lambda handler: handler.answer(404, b"", X_Error_Code="RepoNotFound")]
    cache.refuses(REPO)
    # The request went to the proxy, with the whole address; the token of nobody with it.
    assert hub.requests[0][3]["Host"] == "hub.example"


def test_offline_nobody_is_asked(cache, hub, files):
    commit = hub.add(REPO, files)
    assert "lancet pull owner/model" in cache.refuses(REPO, "--offline")
    path = cache.pull(REPO)["path"]
    hub.requests.clear()
    cache.environment["HF_HUB_OFFLINE"] = "1"
    pulled = cache.pull(REPO)
    assert (pulled["path"], pulled["commit"]) == (path, commit) and hub.requests == []
    os.unlink(os.path.join(path, "model.safetensors"))
    assert "model.safetensors is not there" in cache.refuses(REPO)


# The disk.

def test_a_file_that_does_not_fit_is_refused_before_it_is_fetched(cache, hub, files):
    hub.add(REPO, files | {"model.safetensors": File(b"x", True, "0" * 64, 10**15)})
    said = cache.refuses(REPO)
    assert "1000.00 TB are to be fetched" in said and "free" in said and hub.fetched() == []


def test_a_write_that_fails_keeps_what_there_is(cache, hub):
    files = model_files(3_000_000)
    commit = hub.add(REPO, files)
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))  # noqa: E731
    said = cache.refuses(REPO, preexec_fn=limit)
    assert "cannot write it" in said
    kept = cache.blob(REPO, large(files)).with_suffix(".incomplete").stat().st_size
    assert 1_000_000 <= kept <= 2_000_000
    cache.pull(REPO)
    assert ranges(hub)[-1] == f"bytes={kept}-"
    cache.check(REPO, commit, wanted(files))


def test_a_full_disk_is_named(cache, hub, tmp_path):
    """A disk of its own (a tmpfs in a mount namespace), which somebody else fills while the download runs."""
    enter = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*enter, "mount", "-t", "tmpfs", "none", tmp_path], capture_output=True, check=False).returncode:
        pytest.skip("DID NOT RUN: mounting a tmpfs in a namespace is not allowed here")
    files = model_files(6_000_000)
    hub.add(REPO, files)
    cache.folder.mkdir()
    process = subprocess.Popen(
        [*enter, "sh", "-c", f'mount -t tmpfs -o size=20m none "{cache.folder}" && exec "{cache.lancet.binary}" pull {REPO}'],
        env=cache.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    disk = f"/proc/{process.pid}/root{cache.folder}"

    def fill(handler, file):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(file.data)))
        handler.end_headers()
        with open(disk + "/filler", "wb") as filler, pytest.raises(OSError):
            filler.write(bytes(30_000_000))
        os.truncate(disk + "/filler", os.path.getsize(disk + "/filler") - 2_000_000)
        handler.wfile.write(file.data)
    hub.faults["model.safetensors"] = [fill]
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1 and "No space left on device" in said and "free)" in said


@pytest.mark.parametrize("part", ["", "blobs", "snapshots", "refs"])
def test_a_cache_whose_folders_lead_elsewhere_is_refused(cache, hub, files, tmp_path, part):
    hub.add(REPO, files)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = cache.repository(REPO) / part if part else cache.repository(REPO)
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    assert "leads out of the cache" in cache.refuses(REPO)
    assert list(elsewhere.iterdir()) == []


def test_a_link_in_the_place_of_a_partial_download_is_not_written_through(cache, hub, files, tmp_path):
    hub.add(REPO, files)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    blob = cache.blob(REPO, large(files))
    blob.parent.mkdir(parents=True)
    blob.with_suffix(".incomplete").symlink_to(victim)
    cache.refuses(REPO)
    assert victim.read_text() == "mine"
