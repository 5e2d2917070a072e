#!/usr/bin/env python3
"""A model quantised by Lancet and by llama.cpp: both files in both programs, on the same chunks of a text; one JSON line a format.

    bench/compare_quantize.py --lancet build/lancet --text FILE... --source MODEL.gguf [--to q4_k_m,q8_0] [--calibrate FILE]

The text is cut into chunks of --ctx tokens, predictions of the second half of each count (as `lancet perplexity` and llama-perplexity do).
  bytes, rms         of Lancet's file: size, and relative error of its weights
  kl                 mean KL(source || file) in nats, both files and the source run by llama.cpp; `kl_error` is its standard error
  perplexity         of Lancet's file in Lancet and in llama.cpp; `difference` is relative
Needs the PyPI packages llama-cpp-python and numpy.
"""
import argparse
import json
import math
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from compare_accuracy import Peer, Tally, log_softmax, silence

FILE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q2_k": 10, "q3_k_m": 12, "q4_k_m": 15, "q5_k_m": 17,
              "q6_k": 18, "bf16": 32}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lancet", default="build/lancet")
    parser.add_argument("--text", nargs="+", required=True, help="files, joined")
    parser.add_argument("--source", required=True, help="a GGUF")
    parser.add_argument("--to", default="q8_0,q5_k_m,q4_k_m,q4_0")
    parser.add_argument("--calibrate", help="a text for lancet quantize --calibrate; llama.cpp quantises without")
    parser.add_argument("--ctx", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=4096, help="at most so many of the text")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def quantise_theirs(source, out, name):
    import llama_cpp
    silence()
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.allow_requantize, params.nthread = FILE_TYPES[name], True, 2
    if llama_cpp.llama_model_quantize(str(source).encode(), str(out).encode(), params) != 0:
        raise SystemExit(f"llama.cpp cannot quantise to {name}")


def peer_logits(path, chunks, args):
    peer = Peer(path, args.ctx, args.threads, True)
    try:
        return [peer.logits(ids) for ids in chunks]
    finally:
        peer.close()


def perplexity(logits, chunks):
    surprise = []
    for rows, ids in zip(logits, chunks):
        targets = ids[len(ids) // 2 + 1:]
        surprise += list(-log_softmax(rows)[np.arange(len(targets)), targets])
    return math.exp(np.mean(surprise))


def chunks_of(args, text):
    done = subprocess.run([args.lancet, "tokenize", "-m", args.source, "--json"], input=text, capture_output=True, check=True)
    ids = json.loads(done.stdout)["tokens"]
    peer = Peer(args.source, args.ctx, args.threads, True)
    bos = peer.bos
    peer.close()
    if bos is not None:
        ids = [bos, *ids]
    ids = ids[:args.tokens]
    chunks = [ids[i:i + args.ctx] for i in range(0, len(ids) - args.ctx + 1, args.ctx)]
    return [[bos, *chunk[1:]] if bos is not None else chunk for chunk in chunks]


def main():
    args = arguments()
    text = b"".join(Path(name).read_bytes() for name in args.text)
    chunks = chunks_of(args, text)
    wanted = peer_logits(args.source, chunks, args)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "text").write_bytes(text)
        for name in args.to.split(","):
            ours, theirs = Path(folder) / "ours.gguf", Path(folder) / "theirs.gguf"
            calibrate = ["--calibrate", args.calibrate] if args.calibrate else []
            done = subprocess.run([args.lancet, "quantize", args.source, "--to", name, "-o", ours, "--force", "--json", *calibrate],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
            facts = json.loads(done.stdout)
            quantise_theirs(args.source, theirs, name)
            line = {"to": name, "bytes": facts["bytes"], "their_bytes": theirs.stat().st_size, "rms": facts["all"]["relative_rms"]}
            for who, path in (("lancet", ours), ("llama.cpp", theirs)):
                got, tally = peer_logits(path, chunks, args), Tally()
                for reference, other in zip(wanted, got):
                    tally.add(reference, other)
                line[who] = tally.facts() | {"perplexity": round(perplexity(got, chunks), 4)}
            line["kl_ratio"] = round(line["lancet"]["kl"] / line["llama.cpp"]["kl"], 4) if line["llama.cpp"]["kl"] else None
            own = subprocess.run([args.lancet, "perplexity", "-m", ours, "-f", Path(folder) / "text", "--ctx", str(args.ctx),
                                  "--chunks", str(len(chunks)), "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
            own = json.loads(own.stdout)["perplexity"]
            line["lancet_perplexity"] = round(own, 4)
            line["difference"] = round(own / line["lancet"]["perplexity"] - 1, 6)
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
