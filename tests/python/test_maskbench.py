"""400 published schemas with labelled instances: nothing wrong accepted, nothing wrong rejected, refusals say why.

The sample is not part of the project. $LANCET_ORACLES names a folder beside which maskbench/ lies; without it this says
DID NOT RUN."""
import gzip
import importlib.util
import json
import os
from pathlib import Path

import pytest

from schema_child import SchemaChild

# The C++ suites run the same code under sanitizers.
pytestmark = pytest.mark.skipif("LANCET_SLOW_BINARY" in os.environ, reason="DID NOT RUN: takes too long with a sanitizer")

ORACLES = os.environ.get("LANCET_ORACLES", "")
FOLDER = Path(ORACLES).parent / "maskbench"
PASSES = 360


def load_driver():
    spec = importlib.util.spec_from_file_location("maskbench_driver", FOLDER / "driver.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_published_schemas_are_judged_right_or_refused_with_a_reason(lancet, smol_gguf):
    if not ORACLES or not (FOLDER / "dev400.jsonl.gz").exists():
        pytest.skip("DID NOT RUN: $LANCET_ORACLES does not name a folder beside maskbench/")
    judge = load_driver().judge
    with gzip.open(FOLDER / "dev400.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    verdicts, silent = {}, []
    with SchemaChild(lancet.binary, smol_gguf) as child:
        for row in rows:
            answer = child.ask({"schema": row["schema"], "instances": [{"data": i["data"]} for i in row["instances"]]})
            verdict, _ = judge(row, answer)
            verdicts.setdefault(verdict, []).append(row["id"])
            if answer["compile"] == "refused" and not (answer["reason"] and isinstance(answer["pointer"], str)):
                silent.append((row["id"], answer))
    counts = {verdict: len(ids) for verdict, ids in verdicts.items()}
    print(counts)
    assert set(verdicts) <= {"pass", "refused"}, {v: ids for v, ids in verdicts.items() if v not in ("pass", "refused")}
    assert not silent, silent
    assert counts["pass"] >= PASSES, counts
