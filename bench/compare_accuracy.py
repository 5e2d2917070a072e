#!/usr/bin/env python3
"""How far Lancet's and llama.cpp's logits are from Lancet's exact f32 logits, on the same token ids; one JSON line a file.

    bench/compare_accuracy.py --lancet build/lancet --text FILE... --model A.gguf --model B.gguf [--reference F32.gguf]

The text is cut into chunks of --ctx tokens, positions of the second half of each count (as `lancet perplexity` does). Per file:
  own    KL(the same file in exact f32 arithmetic || each program): what fast arithmetic costs
  wide   KL(--reference in exact f32 arithmetic || each program): what quantisation and arithmetic cost together
`ratio` is Lancet's mean KL over llama.cpp's. Needs the PyPI packages llama-cpp-python and numpy.
"""
import argparse
import functools
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lancet", default="build/lancet")
    parser.add_argument("--text", nargs="+", required=True, help="files, joined")
    parser.add_argument("--model", action="append", required=True, help="a GGUF; repeated for more")
    parser.add_argument("--reference", help="a GGUF with the same vocabulary, run in exact arithmetic")
    parser.add_argument("--ctx", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=4096, help="at most so many of the text")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lancet-flags", default="", help="more flags of lancet's fast run: '--kv q8'")
    parser.add_argument("--peer-f32-kv", action="store_true", help="llama.cpp with an f32 cache instead of f16")
    return parser.parse_args()


class Lancet:
    def __init__(self, binary, threads):
        self.binary, self.threads = binary, threads

    def token_ids(self, model, text):
        done = subprocess.run([self.binary, "tokenize", "-m", model, "--json"], input=text.encode(), capture_output=True, check=True)
        return json.loads(done.stdout)["tokens"]

    def logits(self, model, ids, *flags):
        with tempfile.NamedTemporaryFile(suffix=".f32") as out:
            subprocess.run([self.binary, "score", "-m", model, "--threads", str(self.threads), "--json", "--logits", out.name,
                            "--tokens", ",".join(map(str, ids)), *flags], stdout=subprocess.DEVNULL, check=True)
            return np.fromfile(out.name, "<f4").reshape(len(ids), -1)[len(ids) // 2:-1]


@functools.cache  # kept for as long as llama.cpp may call it
def silence():
    import llama_cpp
    quiet = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(quiet, None)
    return quiet


class Peer:
    """llama.cpp through its C API: one context, all logits of the second half of a chunk."""

    def __init__(self, path, ctx, threads, f32_kv):
        import llama_cpp
        self.api, self.ctx_tokens = llama_cpp, ctx
        silence()
        llama_cpp.llama_backend_init()
        model = llama_cpp.llama_model_default_params()
        model.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), model)
        if not self.model:
            raise SystemExit(f"{path}: llama.cpp cannot load it")
        vocabulary = llama_cpp.llama_model_get_vocab(self.model)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(vocabulary)
        self.bos = llama_cpp.llama_vocab_bos(vocabulary) if llama_cpp.llama_vocab_get_add_bos(vocabulary) else None
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = context.n_batch = context.n_ubatch = ctx
        context.n_threads = context.n_threads_batch = threads
        if f32_kv:
            context.type_k = context.type_v = 0
        self.context = llama_cpp.llama_init_from_model(self.model, context)
        self.batch = llama_cpp.llama_batch_init(ctx, 0, 1)

    def logits(self, ids):
        api, batch = self.api, self.batch
        api.llama_memory_clear(api.llama_get_memory(self.context), True)
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, i >= len(ids) // 2
            batch.seq_id[i][0] = 0
        batch.n_tokens = len(ids)
        if api.llama_decode(self.context, batch) != 0:
            raise SystemExit("llama_decode failed")
        rows = range(len(ids) // 2, len(ids) - 1)
        return np.stack([np.ctypeslib.as_array(api.llama_get_logits_ith(self.context, i), (self.vocabulary,)).copy() for i in rows])

    def close(self):
        self.api.llama_batch_free(self.batch)
        self.api.llama_free(self.context)
        self.api.llama_model_free(self.model)


def log_softmax(logits):
    x = logits.astype(np.float64)
    x -= x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def divergence(reference, other):
    """KL(reference || other) in nats of each row, and whether the likeliest tokens agree."""
    p, q = log_softmax(reference), log_softmax(other)
    return (np.exp(p) * (p - q)).sum(axis=1), p.argmax(axis=1) == q.argmax(axis=1)


class Tally:
    def __init__(self):
        self.kl, self.same = [], []

    def add(self, reference, other):
        kl, same = divergence(reference, other)
        self.kl.append(kl)
        self.same.append(same)

    def facts(self):
        kl, same = np.concatenate(self.kl), np.concatenate(self.same)
        return {"kl": round(float(kl.mean()), 8), "error": round(float(kl.std(ddof=1) / len(kl) ** 0.5), 8),
                "p99": round(float(np.quantile(kl, 0.99)), 6), "max": round(float(kl.max()), 6), "same_top": round(float(same.mean()), 5)}


def compare(args, lancet, path, chunks, exact_reference):
    """`exact_reference` keeps the reference's logits of each chunk from one file to the next."""
    peer = Peer(path, args.ctx, args.threads, args.peer_f32_kv)
    kinds = ["own", "wide"] if args.reference else ["own"]
    tallies = {(kind, who): Tally() for kind in kinds for who in ("lancet", "llama.cpp")}
    for chunk in chunks:
        ids = [peer.bos, *chunk[1:]] if peer.bos is not None else chunk
        fast = {"lancet": lancet.logits(path, ids, *args.lancet_flags.split()), "llama.cpp": peer.logits(ids)}
        for kind in kinds:
            if kind == "own":
                exact = lancet.logits(path, ids, "--exact")
            else:
                if tuple(ids) not in exact_reference:
                    exact_reference[tuple(ids)] = lancet.logits(args.reference, ids, "--exact")
                exact = exact_reference[tuple(ids)]
            for who, logits in fast.items():
                tallies[kind, who].add(exact, logits)
    peer.close()
    line = {"model": Path(path).name, "positions": sum(len(k) for k in tallies["own", "lancet"].kl)}
    for kind in kinds:
        ours, theirs = tallies[kind, "lancet"].facts(), tallies[kind, "llama.cpp"].facts()
        line[kind] = {"lancet": ours, "llama.cpp": theirs, "ratio": round(ours["kl"] / max(theirs["kl"], 1e-12), 4)}
    print(json.dumps(line), flush=True)


def main():
    args = arguments()
    lancet = Lancet(args.lancet, args.threads)
    text = "\n".join(Path(f).read_text(encoding="utf-8") for f in args.text)
    ids = lancet.token_ids(args.model[0], text)[:args.tokens]
    chunks = [ids[i:i + args.ctx] for i in range(0, len(ids) - args.ctx + 1, args.ctx)]
    if not chunks:
        raise SystemExit(f"the text has {len(ids)} tokens, one chunk needs {args.ctx}")
    exact_reference = {}
    for path in args.model:
        compare(args, lancet, path, chunks, exact_reference)


if __name__ == "__main__":
    main()
