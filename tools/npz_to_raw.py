#!/usr/bin/env python3
"""Takes from an oracle's reference.npz and reference.json the numbers that tests/model needs, as plain f32 bytes.

    python tools/npz_to_raw.py ORACLES/tiny-reference tests/data/reference

Writes tiny.f32 (little-endian arrays, end to end) and tiny.json (name, offset in floats and shape of each; the prompts
and the greedy continuations). The C++ tests have no zip reader; this keeps them without one. Needs numpy.
"""
import json
import os
import sys

import numpy as np


def main(source, target):
    arrays = np.load(os.path.join(source, "reference.npz"))
    facts = json.load(open(os.path.join(source, "reference.json")))
    wanted = ["fp8/one/logits", "fp8/p20/logits"]
    wanted += [name for name in arrays.files if name.endswith("/last")]
    index, parts, offset = [], [], 0
    for name in wanted:
        array = arrays[name].astype("<f4")
        array = array.reshape(-1, array.shape[-1])
        index.append({"name": name, "offset": offset, "rows": array.shape[0], "cols": array.shape[1]})
        parts.append(array.tobytes())
        offset += array.size
    os.makedirs(target, exist_ok=True)
    with open(os.path.join(target, "tiny.f32"), "wb") as out:
        out.write(b"".join(parts))
    greedy = {f"{variant}/{prompt}": case["ids"] for variant, prompts in facts["greedy"].items()
              for prompt, case in prompts.items()}
    with open(os.path.join(target, "tiny.json"), "w") as out:
        json.dump({"versions": facts["versions"], "prompts": facts["prompts"], "greedy": greedy, "arrays": index}, out,
                  separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
