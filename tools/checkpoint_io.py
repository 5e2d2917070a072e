"""Small shared pieces: deterministic numbers, E4M3FN and BF16 codecs, safetensors reading and writing. numpy only."""
import json
import struct

import numpy as np

# ---------------------------------------------------------------- deterministic numbers
def fnv1a64(text):
    h = 0xCBF29CE484222325
    for b in text.encode():
        h = ((h ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def splitmix64(seed, n):
    """n outputs of splitmix64: output i mixes seed + (i+1)*golden."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + (np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(name, seed, n):
    """n doubles in (0, 1); the stream depends only on (name, seed)."""
    return ((splitmix64(fnv1a64(name) ^ seed, n) >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53


def gauss(name, seed, shape):
    """Box-Muller normals in float64, cosine branch then sine branch."""
    n = int(np.prod(shape))
    half = (n + 1) // 2
    u = uniform(name, seed, 2 * half)
    r, phi = np.sqrt(-2 * np.log(u[:half])), 2 * np.pi * u[half:]
    return np.concatenate([r * np.cos(phi), r * np.sin(phi)])[:n].reshape(shape)


# ---------------------------------------------------------------- BF16
def to_bf16(x):
    """float32 -> bfloat16 bit patterns (uint16), round to nearest even."""
    u = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((u + (((u >> 16) & 1) + np.uint32(0x7FFF))) >> 16).astype(np.uint16)


def from_bf16(bits):
    return (np.asarray(bits, np.uint16).astype(np.uint32) << 16).view(np.float32)


def round_bf16(x):
    return from_bf16(to_bf16(x)).reshape(np.shape(x))


# ---------------------------------------------------------------- E4M3FN
def e4m3_value(code):
    sign, e, m = (-1.0 if code & 0x80 else 1.0), (code >> 3) & 15, code & 7
    if e == 15 and m == 7:
        return float("nan")
    return sign * (m * 2.0**-9 if e == 0 else (8 + m) * 2.0 ** (e - 10))


E4M3 = np.array([e4m3_value(c) for c in range(256)], np.float32)
_POS = E4M3[:127].astype(np.float64)            # 0 .. 448
_MID = (_POS[:-1] + _POS[1:]) / 2


def to_e4m3(x):
    """float -> E4M3FN codes: nearest, ties to even code, saturating at 448."""
    x = np.asarray(x, np.float64)
    a = np.minimum(np.abs(x), 448.0)
    lo = np.searchsorted(_MID, a, side="left")   # a <= mid -> lower neighbour
    tie = (lo < 126) & (a == _MID[np.minimum(lo, 125)]) & (lo % 2 == 1)
    return (lo + tie).astype(np.uint8) | (np.signbit(x).astype(np.uint8) << 7)


def quantise_fp8(w, power_of_two=False):
    """-> (codes, BF16-representable scale). The rounded scale is what divides."""
    amax = float(np.abs(w).max()) or 1.0
    s = 2.0 ** np.ceil(np.log2(amax / 448)) if power_of_two else float(round_bf16(np.float32(amax / 448)))
    return to_e4m3(np.asarray(w, np.float64) / s), np.float32(s)


def dequantise_fp8(codes, scale):
    return E4M3[codes] * np.float32(scale)       # float32 x float32 -> float32


# ---------------------------------------------------------------- safetensors
_NP = {"F32": np.float32, "BF16": np.uint16, "F16": np.float16, "F8_E4M3": np.uint8}


def write_safetensors(path, tensors):
    """tensors: name -> (dtype, array in storage form). Sorted names, __metadata__ first, header padded to 8."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(tensors):
        dtype, a = tensors[name]
        assert a.dtype == _NP[dtype], (name, dtype, a.dtype)
        header[name] = {"dtype": dtype, "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            f.write(np.ascontiguousarray(tensors[name][1]).tobytes())
    return at


def read_safetensors(path):
    """-> name -> (dtype, array in storage form)."""
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    out = {}
    for name, t in json.loads(raw[8:8 + n]).items():
        if name != "__metadata__":
            b, e = t["data_offsets"]
            out[name] = (t["dtype"], np.frombuffer(raw[8 + n + b:8 + n + e], _NP[t["dtype"]]).reshape(t["shape"]))
    return out


def as_f32(dtype, a):
    return {"F32": lambda: a, "BF16": lambda: from_bf16(a).reshape(a.shape), "F16": lambda: a.astype(np.float32),
            "F8_E4M3": lambda: E4M3[a]}[dtype]()


# ---------------------------------------------------------------- rotary row orders
def half_to_pairs(w, heads):
    """rows of each head from half-split order (HF) to adjacent pairs (native, GGUF)."""
    return w.reshape(heads, 2, -1, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


def pairs_to_half(w, heads):
    return w.reshape(heads, -1, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


# ---------------------------------------------------------------- byte-level BPE
def byte_to_unicode():
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {}, 0
    for b in range(256):
        if b in keep:
            table[b] = chr(b)
        else:
            table[b], extra = chr(256 + extra), extra + 1
    return table
