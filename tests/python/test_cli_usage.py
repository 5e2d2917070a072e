"""The contract of every subcommand: exit codes, what stands on stdout and stderr, and what is said of bad files."""
import hashlib
import json
import math
import shutil
import struct

import make_synthetic_checkpoint
import pytest

COMMANDS = ["serve", "generate", "score", "tokenize", "detokenize", "render", "inspect", "bench", "perplexity",
            "pull", "list", "rm", "quantize", "doctor"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(lancet, command):
    shown = lancet.text(command, "--help")
    assert "Usage:" in shown and f"lancet {command}" in shown.split("Examples:")[1]


def test_help_lists_every_command(lancet):
    shown = lancet.text("--help")
    assert all(command in shown for command in COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["score"], ["score", "-m", "x"], ["generate", "-m", "x"],
                                       ["score", "-m", "x", "-p", "a", "--tokens", "1"], ["inspect"], ["tokenize"],
                                       ["generate", "-m", "x", "-p", "a", "-n", "many"], ["bench", "-m", "x", "--nope"],
                                       ["generate", "-m", "x", "-p", "a", "--temperature", "-1"]])
def test_wrong_usage_is_one_line_and_2(lancet, arguments):
    lancet.refuses(*arguments, code=2)


@pytest.mark.parametrize("arguments", [["score", "--tokens", "1"], ["generate", "-p", "x"], ["tokenize"], ["detokenize"],
                                       ["render"]])
def test_a_model_that_is_not_there_is_named(lancet, tmp_path, arguments):
    missing = tmp_path / "missing"
    assert str(missing) in lancet.refuses(*arguments, "-m", missing)


def test_inspect_names_a_model_that_is_not_there(lancet, tmp_path):
    assert "missing" in lancet.refuses("inspect", tmp_path / "missing")


@pytest.mark.parametrize("defect,names", [("missing-scale", "layers.1.mlp.up_proj"), ("nan-code", "layers.1.mlp.up_proj"),
                                          ("wrong-shape", "layers.1.mlp.up_proj"), ("truncated", "model.safetensors"),
                                          ("block-scale", "layers.1.mlp.up_proj")])
def test_a_broken_checkpoint_is_refused_by_name(lancet, tiny, defect, names):
    for arguments in (["score", "--tokens", "1,2"], ["generate", "--tokens", "1,2"]):
        assert names in lancet.refuses(*arguments, "-m", tiny / "broken" / defect, "--json")


def test_an_empty_file_is_no_model(lancet, tmp_path):
    for name in ("empty.gguf", "empty.bin"):
        (tmp_path / name).write_bytes(b"")
        assert name in lancet.refuses("score", "-m", tmp_path / name, "--tokens", "1")


def test_a_folder_without_weights_is_refused_where_weights_are_needed(lancet, tiny, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(tiny / "fp8", bare, ignore=shutil.ignore_patterns("*.safetensors"))
    lancet.refuses("score", "-m", bare, "--tokens", "1")


@pytest.mark.parametrize("variant,container,fp8", [("fp8", "safetensors", 21), ("fp8-sharded", "safetensors", 21),
                                                   ("bf16", "safetensors", 0), ("native", "safetensors", 21),
                                                   ("gguf/tiny-Q8_0.gguf", "gguf", 0)])
def test_inspect_says_what_the_files_say(lancet, tiny, variant, container, fp8):
    found = lancet.json("inspect", tiny / variant, "--tensors")
    assert container in found["container"].lower()
    assert found["fp8_tensors"] == fp8
    assert found["architecture"] == "ministral3"
    assert found["config"]["text.hidden"]["value"] == "64"
    assert found["config"]["text.rope.factor"]["value"] in ("16", "16.0")
    assert found["vocabulary"]["tokens"] == 1536
    assert sum(f["tensors"] for f in found["formats"].values()) == len(found["tensors"])
    query = next(t for t in found["tensors"] if t["name"] == "text.1.attention.q")
    assert query["shape"] == [128, 64]
    assert all(origin["key"] and origin["file"] for origin in found["config"].values())


def test_inspect_knows_special_tokens_template_memory_and_oddities(lancet, tiny):
    found = lancet.json("inspect", tiny / "fp8")
    names = {t["name"]: t for t in found["special_tokens"]}
    assert len(names) == found["vocabulary"]["control"] == 1000
    assert names["[INST]"]["id"] == 3 and names["</s>"] == {"id": 2, "name": "</s>", "use": "eos"}
    template = (tiny / "fp8" / "chat_template.jinja").read_bytes()
    assert found["chat_template"] == {"bytes": len(template), "sha256": hashlib.sha256(template).hexdigest(),
                                      "published_as": ""}
    memory = found["memory"]
    assert memory["fits"] and memory["context"] == 1024 and memory["weights_bytes"] > 2 * 1536 * 64
    assert memory["cache_bytes"] >= 1024 and memory["reserve_bytes"] == 256 << 20
    assert found["warnings"] == [w for w in found["warnings"] if "activation scales" in w or "template" in w] != []


def test_inspect_of_the_published_shape_finds_822_tensors_182_of_them_fp8(lancet, tiny, tmp_path):
    """The files of the 3B model with holes in place of the matrices: 4.67 GB that take no room."""
    folder = tmp_path / "3b"
    shutil.copytree(tiny / "fp8", folder)
    (folder / "config.json").write_text(json.dumps(make_synthetic_checkpoint.config(26)))
    header, small, at = {}, {}, 0
    for name, dtype, shape in make_synthetic_checkpoint.tensors(26):
        end = at + math.prod(shape) * (1 if dtype == "F8_E4M3" else 2)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        if len(shape) < 2:
            small[at] = b"".join(make_synthetic_checkpoint.payload(name, dtype, shape, None))
        at = end
    text = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for offset, data in small.items():
            file.seek(8 + len(text) + offset)
            file.write(data)
        file.truncate(8 + len(text) + at)
    found = lancet.json("inspect", folder)
    assert (found["stored_tensors"], found["fp8_tensors"]) == (822, 182)
    assert found["formats"]["f8_e4m3"] == {"tensors": 182, "bytes": 3026190336}
    assert found["memory"]["weights_bytes"] == 3026190336 + 2 * 822899712
    assert found["config"]["text.head_width"] == {"value": "128", "key": "text_config.head_dim", "file": "config.json"}


def test_inspect_names_a_published_template(lancet, smol_gguf):
    assert lancet.json("inspect", smol_gguf)["chat_template"]["published_as"].startswith("SmolLM2")


def test_inspect_text_is_for_people(lancet, tiny):
    shown = lancet.text("inspect", tiny / "fp8", "--tensors")
    assert "text_config.head_dim in config.json" in shown and "text.2.ffn.down" in shown
    assert '"[INST]"' in shown and "sha256" in shown and "scratch" in shown and "warning: 21 activation scales" in shown


@pytest.mark.parametrize("ids,names", [("1,5000", "5000"), ("1,-3", "-3"), ("1536", "1536")])
def test_ids_outside_the_vocabulary_are_named(lancet, tiny, ids, names):
    assert names in lancet.refuses("score", "-m", tiny / "fp8", f"--tokens={ids}", "--json")
    assert names in lancet.refuses("generate", "-m", tiny / "fp8", f"--tokens={ids}", "--json")


def test_text_longer_than_the_context_is_refused(lancet, tiny):
    ids = ",".join(["1000"] * 1025)
    assert "1024" in lancet.refuses("score", "-m", tiny / "fp8", "--tokens", ids, "--json")
    assert "1024" in lancet.refuses("generate", "-m", tiny / "fp8", "--tokens", ids, "--json")


def test_logits_that_cannot_be_written_are_an_error(lancet, tiny, tmp_path):
    lancet.refuses("score", "-m", tiny / "fp8", "--tokens", "1,2", "--logits", tmp_path / "no" / "such" / "folder")


def test_unknown_kernels_are_refused(lancet, tiny):
    assert "abacus" in lancet.refuses("score", "-m", tiny / "fp8", "--tokens", "1", "--kernels", "abacus")


def test_bench_prints_a_json_line_for_each_test(lancet, tiny):
    lines = lancet.text("bench", "-m", tiny / "fp8", "-p", "32", "-n", "8", "-r", "2", "--json").splitlines()
    rows = {row["test"]: row for row in map(json.loads, lines) if "test" in row}
    assert {"pp32", "tg8"} <= rows.keys()
    assert all(row["t_s"] > 0 and len(row["runs"]) == 2 for row in (rows["pp32"], rows["tg8"]))
