"""The JSON-Schema-Test-Suite through `lancet schema`: every case is judged right or its schema is refused with a reason.

The suite is the Debian package json-schema-test-suite (drafts 4 to 7); LANCET_JSON_SCHEMA_SUITE names a checkout of
json-schema-org/JSON-Schema-Test-Suite, which has 2019-09 and 2020-12 too. As a program this file writes the table of
docs/schema.md: LANCET_BINARY=build/lancet python tests/python/test_json_schema_suite.py
"""
import collections
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


# The C++ suites run the same code under sanitizers.
pytestmark = pytest.mark.skipif("LANCET_SLOW_BINARY" in os.environ, reason="DID NOT RUN: takes too long with a sanitizer")

ROOT = Path(__file__).resolve().parents[2]
SUITE = Path(os.environ.get("LANCET_JSON_SCHEMA_SUITE", "/usr/share/json-schema-test-suite"))
DRAFTS = {
    "draft4": "http://json-schema.org/draft-04/schema#",
    "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}
# Decided otherwise than the suite has it (docs/schema.md says why): file -> the word in the test's description, or "".
DECIDED = {
    "format.json": "only an annotation by default",  # formats are enforced
    "optional/content.json": "",  # content... are annotations, as since 2019-09
    "optional/format/hostname.json": "",  # no label with "--" at its third place: whether Punycode is sound is not regular
}


def vocabulary(folder):
    """A tokenizer of single bytes is enough: what is judged is the schema."""
    path = folder / "bytes.gguf"
    if not path.exists():
        write_byte_vocabulary(path)
    return path


def write_byte_vocabulary(path):
    import gguf
    writer = gguf.GGUFWriter(path, "llama")
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spelled, spare = {}, 256
    for byte in range(256):  # the byte-level spelling of GPT-2
        if byte in printable:
            spelled[byte] = chr(byte)
        else:
            spelled[byte], spare = chr(spare), spare + 1
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([spelled[b] for b in range(256)] + ["<end>"])
    writer.add_token_types([1] * 256 + [3])
    writer.add_token_merges([])
    writer.add_eos_token_id(256)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def groups(draft):
    """(file, group) of a draft; a schema says its draft if it does not already."""
    folder = SUITE / "tests" / draft
    for path in sorted(folder.rglob("*.json")):
        for group in json.loads(path.read_text()):
            schema = group["schema"]
            if isinstance(schema, dict):
                schema = {"$schema": DRAFTS[draft]} | schema
            yield path.relative_to(folder).as_posix(), group | {"schema": schema}


def judge(binary, model, draft):
    """[(file, group, answer)] for all groups of a draft."""
    all_groups = list(groups(draft))
    lines = [json.dumps({"schema": g["schema"], "instances": [{"data": t["data"]} for t in g["tests"]]})
             for _, g in all_groups]
    done = subprocess.run([binary, "schema", "-m", model], input="\n".join(lines) + "\n", capture_output=True, text=True,
                          timeout=300, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(all_groups)
    return [(file, group, answer) for (file, group), answer in zip(all_groups, answers)]


def verdicts(file, group, answer):
    """(verdict, test) for each test of a group: exact, refused, decided or wrong."""
    decided = DECIDED.get(file)
    unsatisfiable = answer["compile"] == "refused" and "no JSON value satisfies" in answer["reason"]
    for i, test in enumerate(group["tests"]):
        if answer["compile"] == "ok":
            right = answer["results"][i] == test["valid"]
        elif unsatisfiable:
            right = not test["valid"]  # nothing is accepted
        else:
            yield "refused", test
            continue
        if right:
            yield "exact", test
        else:
            yield "decided" if decided is not None and decided in test["description"] else "wrong", test


@pytest.mark.parametrize("draft", DRAFTS)
def test_every_case_is_exact_or_refused(lancet, tmp_path_factory, draft):
    if not (SUITE / "tests" / draft).is_dir():
        pytest.skip(f"DID NOT RUN: {SUITE} has no {draft}; LANCET_JSON_SCHEMA_SUITE names a checkout that has")
    model = vocabulary(tmp_path_factory.getbasetemp())
    wrong, counts = [], collections.Counter()
    for file, group, answer in judge(lancet.binary, model, draft):
        if answer["compile"] == "refused":
            assert answer["reason"], (file, group["description"])
        for verdict, test in verdicts(file, group, answer):
            counts[verdict] += 1
            if verdict == "wrong":
                wrong.append(f"{file}: {group['description']}: {test['description']} should be {test['valid']}")
    print(draft, dict(counts))
    assert not wrong, "\n".join(wrong)
    assert counts["exact"] > 0.8 * counts.total()


def table(binary, model):
    """Markdown: by file and draft, how many tests are exact, and how many are refused or decided otherwise."""
    cells = collections.defaultdict(collections.Counter)
    for draft in DRAFTS:
        for file, group, answer in judge(binary, model, draft):
            for verdict, _ in verdicts(file, group, answer):
                cells[file, draft][verdict] += 1
                cells["all", draft][verdict] += 1
    files = sorted({file for file, _ in cells} - {"all"}, key=lambda f: (f.startswith("optional"), f)) + ["all"]
    rows = ["| file of the suite | " + " | ".join(d.removeprefix("draft") for d in DRAFTS) + " |", "|---|" + "---:|" * len(DRAFTS)]
    for file in files:
        row = []
        for draft in DRAFTS:
            c = cells[file, draft]
            more = [f"{c[v]} {v}" for v in ("refused", "decided", "wrong") if c[v]]
            row.append(", ".join([f"{c['exact']}"] * bool(c["exact"]) + more))
        rows.append(f"| {file.removesuffix('.json')} | " + " | ".join(row) + " |")
    return "\n".join(rows)


def main():
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        new = table(os.environ.get("LANCET_BINARY", ROOT / "build" / "lancet"), vocabulary(Path(folder)))
    docs = ROOT / "docs" / "schema.md"
    begin, end = "<!-- suite -->\n", "\n<!-- /suite -->"
    text = docs.read_text()
    docs.write_text(text[: text.index(begin) + len(begin)] + new + text[text.index(end):])
    print(new, file=sys.stderr)


if __name__ == "__main__":
    main()
