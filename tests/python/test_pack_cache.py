"""The folder of packed weights, as a user meets it: the next start is faster, and whatever happens to the folder costs
no more than that. --quant is what makes a model this small worth a file."""

import os
import resource
import signal
import subprocess
import time

import pytest
from conftest import TIMEOUT_S

PROMPT = ["-p", "The capital of France is", "-n", "8", "--temperature", "0", "--json"]


@pytest.fixture
def generate(lancet, smol_fp8, tmp_path):
    """generate(folder, **Popen arguments) -> (stdout, stderr lines), exit code 0."""

    def run(folder, **popen):
        command = [lancet.binary, "generate", "-m", smol_fp8, "--quant", "q8_0", "--pack-cache", folder, *PROMPT]
        done = subprocess.run([str(a) for a in command], capture_output=True, text=True, timeout=TIMEOUT_S, **popen)
        assert done.returncode == 0, done.stderr
        return tokens(done.stdout), done.stderr.splitlines()

    return run


def tokens(stdout):
    return stdout[stdout.index('"tokens"') :].split("]")[0]


def warnings(lines):
    return [line for line in lines if " warning " in line and "packed weights" in line]


def test_the_next_start_reads_what_the_first_one_kept(generate, tmp_path):
    first, log = generate(tmp_path / "packed")
    assert any("packed weights kept in" in line for line in log), log
    (file,) = (tmp_path / "packed").iterdir()
    second, log = generate(tmp_path / "packed")
    assert any("mapped from" in line and str(file) in line for line in log), log
    assert second == first
    assert list((tmp_path / "packed").iterdir()) == [file]


def test_off_keeps_nothing(generate, tmp_path, monkeypatch):
    monkeypatch.setenv("LANCET_CACHE", str(tmp_path / "elsewhere"))
    first, _ = generate("off")
    assert not (tmp_path / "elsewhere").exists()
    assert generate("")[0] == first
    assert len(list((tmp_path / "elsewhere").iterdir())) == 1


def test_a_damaged_file_is_made_anew(generate, tmp_path):
    first, _ = generate(tmp_path)
    (file,) = tmp_path.iterdir()
    right = file.read_bytes()
    wrong = bytearray(right)
    wrong[len(wrong) // 2] ^= 1
    file.write_bytes(wrong)
    again, log = generate(tmp_path)
    assert again == first
    assert len(warnings(log)) == 1 and "checksum" in warnings(log)[0], log
    assert file.read_bytes() == right


def test_a_full_disk_costs_one_warning(generate, tmp_path):
    limit = 10 << 20
    first, log = generate(
        tmp_path / "packed", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    assert len(warnings(log)) == 1 and "not kept" in warnings(log)[0], log
    assert list((tmp_path / "packed").iterdir()) == []
    assert generate(tmp_path / "packed")[0] == first


def test_a_folder_that_cannot_be_costs_one_warning(generate, tmp_path):
    (tmp_path / "file").write_text("no folder")
    _, log = generate(tmp_path / "file" / "packed")
    assert len(warnings(log)) == 1, log


def test_a_kill_while_writing_leaves_nothing_for_long(lancet, generate, smol_fp8, tmp_path):
    command = [lancet.binary, "generate", "-m", smol_fp8, "--quant", "q8_0", "--pack-cache", tmp_path, *PROMPT]
    killed = 0
    for _ in range(8):
        process = subprocess.Popen([str(a) for a in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + TIMEOUT_S
        while process.poll() is None and time.monotonic() < end:
            if any(name.endswith(".unfinished") for name in os.listdir(tmp_path)):
                process.send_signal(signal.SIGKILL)
                break
        killed += process.wait() == -signal.SIGKILL
        for file in tmp_path.glob("*.panels"):
            file.unlink()
    assert killed, "every process had written its file before it was killed"
    _, log = generate(tmp_path)
    assert not warnings(log), log
    (file,) = tmp_path.iterdir()
    assert file.suffix == ".panels"
