#!/usr/bin/env python3
"""Times llama.cpp on a GGUF through its C API with the work of llama-bench: random token ids, a warm-up, no sampling.

    bench/peer_llama.py --model M.gguf [--threads 2] [--fa 1,0] [--tests pp512,tg128,tg32@4096,tg32b4] [--reps 3]

  ppN      N prompt tokens into an empty cache, logits of the last token only (n_batch 2048, n_ubatch 512)
  ppN@D    the same after D tokens
  tgN      N steps of one token from an empty cache
  tgN@D    the same with D tokens in the cache already
  tgNbK    N steps of K sequences at once; tokens of all of them count

One JSON line for each test and --fa setting: t_s = tokens/s (median), runs = every repetition, other_cpu = CPUs that others kept busy
meanwhile. The cache of @D is filled by repeating the state of a real 256-token prompt (all cells distinct memory, positions counted
up), because the cost of a step does not depend on the values; --real-depth, and several sequences, compute all D tokens. Needs the
PyPI packages llama-cpp-python and numpy.
"""
import argparse
import ctypes
import json
import os
import re
import statistics
import struct
import time

import llama_cpp as api
import numpy as np

KV_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8, "bf16": 30}
BATCH, REAL_PIECE = 2048, 256
WARMING = {"pp": 512, "tg": 8}  # tokens, steps


def check(ok, what):
    if not ok:
        raise SystemExit(f"llama.cpp: {what} failed")


def parse_test(spec):
    """("pp" or "tg", tokens, depth, batch)"""
    match = re.fullmatch(r"(pp|tg)(\d+)(?:@(\d+))?(?:b(\d+))?", spec)
    if not match or (match[1] == "pp" and match[4]):
        raise SystemExit(f"{spec} is no test")
    return match[1], int(match[2]), int(match[3] or 0), int(match[4] or 1)


def busy_elsewhere():
    """CPU seconds since boot that other processes and the hypervisor took."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    own = os.times()
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK") - own.user - own.system


class Model:
    def __init__(self, args):
        self.log = api.llama_log_callback(lambda level, text, _: None)  # kept: the library calls it as long as it lives
        if not args.verbose:
            api.llama_log_set(self.log, None)
        api.llama_backend_init()
        params = api.llama_model_default_params()
        params.n_gpu_layers = 0
        params.use_extra_bufts = not args.no_repack
        self.handle = api.llama_model_load_from_file(args.model.encode(), params)
        check(self.handle, f"loading {args.model}")
        vocabulary = api.llama_model_get_vocab(self.handle)
        self.vocabulary = api.llama_vocab_n_tokens(vocabulary)
        self.bos = api.llama_vocab_bos(vocabulary) if api.llama_vocab_get_add_bos(vocabulary) else None
        self.rng = np.random.default_rng(1)

    def ids(self, count):
        return self.rng.integers(0, self.vocabulary, count).tolist()


class Context:
    """A cache for `sequences` sequences of `tokens` tokens each, and the steps of the tests."""

    def __init__(self, model, args, flash, tokens, sequences):
        params = api.llama_context_default_params()
        params.n_ctx, params.n_seq_max = tokens * sequences, sequences
        params.n_batch, params.n_ubatch = BATCH, args.ubatch
        params.n_threads = params.n_threads_batch = args.threads
        params.flash_attn_type = flash
        params.type_k = params.type_v = KV_TYPES[args.kv]
        params.no_perf = True
        self.model, self.sequences = model, sequences
        self.handle = api.llama_init_from_model(model.handle, params)
        check(self.handle, "llama_init_from_model")
        self.memory = api.llama_get_memory(self.handle)
        self.batch = api.llama_batch_init(BATCH, 0, 1)

    def close(self):
        api.llama_batch_free(self.batch)
        api.llama_free(self.handle)

    def clear(self):
        api.llama_memory_clear(self.memory, False)

    def put(self, row, token, position, sequence, logits):
        batch = self.batch
        batch.token[row], batch.pos[row], batch.n_seq_id[row], batch.logits[row] = token, position, 1, logits
        batch.seq_id[row][0] = sequence

    def decode(self, rows):
        self.batch.n_tokens = rows
        check(api.llama_decode(self.handle, self.batch) == 0, "llama_decode")

    def prompt(self, count, sequence=0, start=0):
        ids = self.model.ids(count)
        if self.model.bos is not None and start == 0:
            ids[0] = self.model.bos
        for begin in range(0, count, BATCH):
            rows = min(BATCH, count - begin)
            for i in range(begin, begin + rows):
                self.put(i - begin, ids[i], start + i, sequence, i == count - 1)
            self.decode(rows)
        api.llama_synchronize(self.handle)

    def generate(self, steps, start):
        for step in range(steps):
            for sequence, token in enumerate(self.model.ids(self.sequences)):
                self.put(sequence, token, start + step, sequence, True)
            self.decode(self.sequences)
            api.llama_synchronize(self.handle)

    def truncate(self, depth):
        for sequence in range(self.sequences):
            check(api.llama_memory_seq_rm(self.memory, sequence, depth, -1), "llama_memory_seq_rm")

    def verify(self, last_position):
        """Every token was really processed, and the last logits are sane."""
        for sequence in range(self.sequences):
            check(api.llama_memory_seq_pos_max(self.memory, sequence) == last_position, "the position check")
        logits = np.ctypeslib.as_array(api.llama_get_logits_ith(self.handle, -1), (self.model.vocabulary,))
        check(np.isfinite(logits).all() and logits.std() > 0, "the logits check")

    def fill(self, depth, real):
        self.clear()
        if real or self.sequences > 1 or depth <= REAL_PIECE or depth % REAL_PIECE:
            for sequence in range(self.sequences):
                self.prompt(depth, sequence)
            return
        self.prompt(REAL_PIECE)
        size = api.llama_state_seq_get_size(self.handle, 0)
        state = np.zeros(size, dtype=np.uint8)
        pointer = ctypes.POINTER(ctypes.c_uint8)
        check(api.llama_state_seq_get_data(self.handle, state.ctypes.data_as(pointer), size, 0) == size, "reading the state")
        deep = repeat_state(state, depth)
        self.clear()
        done = api.llama_state_seq_set_data(self.handle, deep.ctypes.data_as(pointer), deep.size, 0)
        check(done == deep.size and api.llama_memory_seq_pos_max(self.memory, 0) == depth - 1, "writing the state")


def repeat_state(state, depth):
    """A one-sequence state as one of `depth` cells: the cells repeat, positions count up. The layout is llama-kv-cache.cpp's."""
    at, out = 0, []

    def take(count):
        nonlocal at
        at += count
        return state[at - count:at]

    def number(kind):
        return struct.unpack(kind, take(struct.calcsize(kind)).tobytes())[0]

    out.append(take(8))  # magic, sequence
    streams, cells = number("<I"), number("<I")
    check(streams == 1 and depth % cells == 0, "reading the state's layout")
    times = depth // cells
    out.append(np.frombuffer(struct.pack("<II", 1, depth), np.uint8))
    meta = take(12 * cells).view(np.int32).reshape(cells, 3)  # position, number of sequences, sequence
    check((meta[:, 0] == np.arange(cells)).all() and (meta[:, 1] == 1).all(), "reading the state's cells")
    meta = np.tile(meta, (times, 1))
    meta[:, 0] = np.arange(depth)
    out.append(meta.reshape(-1).view(np.uint8))
    transposed, layers = number("<I"), number("<I")
    out.append(np.frombuffer(struct.pack("<II", transposed, layers), np.uint8))
    for part in range(2 * layers):  # keys of all layers, then values
        head = take(12)
        out.append(head)
        if part < layers or not transposed:  # type, bytes of a row
            out.append(np.tile(take(cells * struct.unpack("<Q", head[4:].tobytes())[0]), times))
        else:  # type, bytes of an element, rows
            element, rows = struct.unpack("<II", head[4:].tobytes())
            out.append(np.tile(take(cells * element * rows).reshape(rows, -1), (1, times)).reshape(-1))
    check(at == state.size, "reading the state to its end")
    return np.concatenate(out)


def measure(model, args, spec, flash):
    kind, count, depth, sequences = parse_test(spec)
    context = Context(model, args, flash, (depth + count + 255) // 256 * 256, sequences)
    if depth:
        context.fill(depth, args.real_depth)
    runs, others = [], []
    for repetition in range(args.reps + 1):
        context.truncate(depth) if depth else context.clear()
        before, start = busy_elsewhere(), time.perf_counter()
        tokens = count if repetition else min(count, WARMING[kind])
        context.prompt(tokens, start=depth) if kind == "pp" else context.generate(tokens, depth)
        took = time.perf_counter() - start
        context.verify(depth + tokens - 1)
        if repetition > 0:
            runs.append(round(count * sequences / took, 3))
            others.append(max(0, round((busy_elsewhere() - before) / took, 2)))
    context.close()
    print(json.dumps({"engine": "llama.cpp", "version": api.__version__, "test": spec, "fa": flash, "kv": args.kv, "threads": args.threads,
                      "t_s": statistics.median(runs), "runs": runs, "other_cpu": others}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fa", default="1,0", help="settings of flash attention, separated by commas")
    parser.add_argument("--tests", default="pp512,tg128")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--kv", default="f16", choices=KV_TYPES)
    parser.add_argument("--ubatch", type=int, default=512)
    parser.add_argument("--real-depth", action="store_true")
    parser.add_argument("--no-repack", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    model = Model(args)
    for spec in args.tests.split(","):
        for flash in args.fa.split(","):
            measure(model, args, spec, int(flash))


if __name__ == "__main__":
    main()
