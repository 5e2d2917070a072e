"""quantize: files that another reader decodes to what Lancet says, the same model in every container, and what is refused.

The other reader is the PyPI package gguf. That llama.cpp loads the files and computes the same is measured by
bench/compare_quantize.py.
"""
import json
import resource
import shutil
import subprocess

import gguf
import numpy as np
import pytest

from conftest import ROOT

# Relative error of the tiny model's weights, which are a normal distribution's; rows of 64 and 128 values rule K-quants out.
BOUNDS = {"f32": 0, "f16": 3e-4, "bf16": 2.3e-3, "q8_0": 0.007, "q6_k": 0.007, "q5_k": 0.04, "q5_1": 0.04, "q5_0": 0.05, "q4_k": 0.05,
          "q4_1": 0.08, "q4_0": 0.09, "q3_k": 0.09, "q2_k": 0.09}


def read(path):
    """Another reader's view: metadata and tensors as f32 by name."""
    reader = gguf.GGUFReader(path)
    tensors = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32).reshape([int(n) for n in t.shape[::-1]])
               for t in reader.tensors}
    return {key: field.contents() for key, field in reader.fields.items()}, tensors


def relative_rms(wanted, got):
    error = sum(float(((got[name].astype(np.float64) - w) ** 2).sum()) for name, w in wanted.items())
    return (error / sum(float((w.astype(np.float64) ** 2).sum()) for w in wanted.values())) ** 0.5


@pytest.fixture(scope="module")
def source(tiny):
    return tiny / "gguf" / "tiny-F32.gguf"


@pytest.mark.parametrize("name", BOUNDS)
def test_the_error_that_is_printed_is_the_one_another_decoder_finds(lancet, source, tmp_path, name):
    out = tmp_path / "out.gguf"
    said = lancet.json("quantize", source, "--to", name, "-o", out)
    assert said["bytes"] == out.stat().st_size
    wanted, got = read(source)[1], read(out)[1]
    assert got.keys() == wanted.keys()
    assert said["all"]["relative_rms"] == pytest.approx(relative_rms(wanted, got), rel=1e-5, abs=1e-12)
    assert said["all"]["relative_rms"] <= BOUNDS[name]
    for tensor in said["tensors"]:
        assert tensor["relative_rms"] <= 1.5 * BOUNDS[name], tensor
    # Lancet's own reader agrees about what is in the file.
    formats = lancet.json("inspect", out)["formats"]
    assert {key: facts["tensors"] for key, facts in formats.items()} == {key: facts["tensors"] for key, facts in said["formats"].items()}


def test_safetensors_become_the_gguf_that_the_published_converter_makes(lancet, tiny, tmp_path):
    """tiny-F32.gguf has the weights of fp8/, written with the gguf package as llama.cpp's converter would."""
    lancet.json("quantize", tiny / "fp8", "--to", "f32", "-o", tmp_path / "out.gguf")
    (facts, tensors), (wanted_facts, wanted) = read(tmp_path / "out.gguf"), read(tiny / "gguf" / "tiny-F32.gguf")
    assert tensors.keys() == wanted.keys()
    for name, values in wanted.items():
        assert np.array_equal(tensors[name], values), name
    skipped = {"GGUF.kv_count", "general.name", "tokenizer.ggml.scores"}  # without meaning for byte-level BPE
    for key in wanted_facts.keys() - skipped:
        assert facts[key] == wanted_facts[key], key


def test_a_gguf_keeps_its_metadata(lancet, source, tmp_path):
    lancet.json("quantize", source, "--to", "q8_0", "-o", tmp_path / "out.gguf")
    facts, before = read(tmp_path / "out.gguf")[0], read(source)[0]
    assert facts["general.file_type"] == 7 and facts["general.quantization_version"] == 2
    for key in before.keys() - {"GGUF.kv_count", "general.file_type"}:
        assert facts[key] == before[key], key


def llama_of(tiny, folder):
    """The tiny model as a Llama: the same tensors, another architecture, no scaling of positions."""
    shutil.copytree(tiny / "fp8-textonly", folder)
    config = json.loads((folder / "config.json").read_text())
    del config["rope_parameters"]
    config |= {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "rope_theta": 500.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("model", ["fp8", "fp8-untied", "fp8-block", "native", "bf16", "llama"])
def test_every_container_computes_the_same_as_a_gguf(lancet, tiny, tmp_path, model):
    source = llama_of(tiny, tmp_path / "llama") if model == "llama" else tiny / model
    lancet.json("quantize", source, "--to", "f32", "-o", tmp_path / "out.gguf")
    ids = list(range(300, 400))
    wanted = lancet.logits(source, ids, tmp_path / "a", "--exact")
    got = lancet.logits(tmp_path / "out.gguf", ids, tmp_path / "b", "--exact")
    assert np.abs(got - wanted).max() < 2e-4 * np.abs(wanted).max()
    text = "Hello, world! 3.14159  naïve\n\nПривет"
    assert lancet.json("tokenize", "-m", tmp_path / "out.gguf", stdin=text) == lancet.json("tokenize", "-m", source, stdin=text)


@pytest.mark.parametrize("name", ["q4_k_m", "q8_0", "bf16"])
def test_the_file_is_the_same_for_any_number_of_threads(lancet, tiny, tmp_path, name):
    text = tmp_path / "text.txt"
    text.write_text((ROOT / "README.md").read_text(encoding="utf-8")[:2000], encoding="utf-8")
    files = []
    for threads in (1, 3):
        out = tmp_path / f"{threads}.gguf"
        lancet.json("quantize", tiny / "fp8", "--to", name, "-o", out, "--threads", threads, "--calibrate", text)
        files.append(out.read_bytes())
    assert files[0] == files[1]


def test_calibrating_changes_what_is_lost(lancet, tiny, source, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text((ROOT / "README.md").read_text(encoding="utf-8")[:3000], encoding="utf-8")
    plain = lancet.json("quantize", source, "--to", "q4_0", "-o", tmp_path / "a.gguf")
    tuned = lancet.json("quantize", source, "--to", "q4_0", "-o", tmp_path / "b.gguf", "--calibrate", text)
    assert tuned["calibrated"] and not plain["calibrated"]
    assert tuned["bytes"] == plain["bytes"] and tuned["all"]["relative_rms"] > plain["all"]["relative_rms"]

    def distance(path):
        return lancet.json("perplexity", "-m", path, "-f", text, "--exact", "--ctx", 64, "--reference", source, "--reference-exact")["kl"]["mean"]

    assert distance(tmp_path / "b.gguf") < 1.05 * distance(tmp_path / "a.gguf")


def test_for_people_it_says_sizes_and_errors(lancet, tiny, tmp_path):
    shown = lancet.text("quantize", tiny / "fp8", "--to", "q8_0", "-o", tmp_path / "out.gguf")
    assert "relative error" in shown and "bits a weight" in shown and "image part is left out" in shown


def test_an_existing_file_stays_unless_forced(lancet, source, tmp_path):
    out = tmp_path / "out.gguf"
    out.write_text("mine")
    assert "--force" in lancet.refuses("quantize", source, "--to", "q8_0", "-o", out)
    # Before the work of calibrating, even before its text is read.
    assert "--force" in lancet.refuses("quantize", source, "--to", "q8_0", "-o", out, "--calibrate", "missing.txt")
    assert out.read_text() == "mine"
    lancet.json("quantize", source, "--to", "q8_0", "-o", out, "--force")
    assert read(out)[0]["general.architecture"] == "mistral3"
    assert [p.name for p in tmp_path.iterdir()] == ["out.gguf"]


def test_the_model_itself_is_never_overwritten(lancet, source, tmp_path):
    copy = tmp_path / "model.gguf"
    copy.write_bytes(source.read_bytes())
    (tmp_path / "link.gguf").symlink_to(copy)
    for out in (copy, tmp_path / "link.gguf"):
        assert "the model itself" in lancet.refuses("quantize", copy, "--to", "q8_0", "-o", out, "--force")
    assert copy.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("out, said", [("none/out.gguf", "No such file"), ("file/out.gguf", "Not a directory"), ("folder", "is a folder")])
def test_an_output_that_cannot_be_is_refused_at_once(lancet, source, tmp_path, out, said):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    assert said in lancet.refuses("quantize", source, "--to", "q8_0", "-o", tmp_path / out)


def test_a_disk_without_room_is_told_before_anything_is_written(lancet, source):
    said = lancet.refuses("quantize", source, "--to", "q8_0", "-o", "/proc/out.gguf")
    assert "the disk has 0 free" in said


def test_a_file_that_cannot_grow_leaves_nothing(lancet, source, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    done = subprocess.run([lancet.binary, "quantize", source, "--to", "f32", "-o", tmp_path / "out.gguf"], capture_output=True,
                          preexec_fn=limit, check=False, timeout=60)
    assert done.returncode == 1 and b"File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_nothing(lancet, smol_gguf, tmp_path):
    process = subprocess.Popen([lancet.binary, "quantize", smol_gguf, "--to", "q2_k", "-o", tmp_path / "out.gguf", "--threads", "1"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while process.poll() is None and not any(tmp_path.iterdir()):
        pass
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and b"interrupted, nothing is written" in said
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_is_wrong_usage(lancet, source, tmp_path):
    assert "q9_9" in lancet.refuses("quantize", source, "--to", "q9_9", "-o", tmp_path / "out.gguf", code=2)


def test_numbers_that_are_not_finite_are_refused(lancet, source, tmp_path):
    reader = gguf.GGUFReader(source)
    tensor = next(t for t in reader.tensors if t.name == "blk.1.ffn_up.weight")
    broken = bytearray(source.read_bytes())
    broken[tensor.data_offset + 40:tensor.data_offset + 44] = np.float32(np.nan).tobytes()
    (tmp_path / "broken.gguf").write_bytes(broken)
    said = lancet.refuses("quantize", tmp_path / "broken.gguf", "--to", "q8_0", "-o", tmp_path / "out.gguf")
    assert "blk.1.ffn_up.weight" in said and "not finite" in said
    assert not (tmp_path / "out.gguf").exists()
