"""The machine code of the int8 products: no sum is spilled between two dot products.

A compiler that runs out of registers halves the speed and no result shows it, so the built program is disassembled.
"""
import os
import platform
import re
import shutil
import subprocess

import pytest

# What multiplies, and the functions whose inner loops it fills: one for each int8 format.
KERNELS = {
    "avx512": ("vpdpbusd", re.compile(r"::Int8Panels<.*>::run<12, 1>\(")),
    "avx2": ("vpmaddubsw", re.compile(r"::Avx2Int8Panels<.*>::multiply_stretches<6, .*UnpackedCodes<")),
}
INT8_FORMATS = 6
# Dot products further apart belong to different blocks; between those, scales may come from the stack.
NEAR = 10
LEAST_DOTS = 6 * 8  # six tokens, 8 units of 4 columns
SPILL_SHARE = 50  # a constant may be read back now and then; a spilled sum would be seen at every dot product
STACK_VECTOR = re.compile(r"(?=.*%[xyz]mm\d)(?=.*\(%r[sb]p)")


def functions(binary, name):
    """(demangled name, first address, address past the end) of the program's functions that match."""
    table = subprocess.run(["nm", "-C", "-S", binary], capture_output=True, text=True, check=True).stdout
    for line in table.splitlines():
        address, size, kind, symbol = (line.split(maxsplit=3) + [""] * 4)[:4]
        if kind in ("t", "T") and name.search(symbol):
            yield symbol, int(address, 16), int(address, 16) + int(size, 16)


def instructions(binary, begin, end):
    command = ["objdump", "-d", "--no-show-raw-insn", f"--start-address={begin}", f"--stop-address={end}", binary]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line.split("\t", 1)[1] for line in listing.splitlines() if re.match(r"\s*[0-9a-f]+:\t", line)]


def spills(code, dot):
    """Instructions between near dot products that move a vector to or from the stack; the number of dot products."""
    places = [i for i, text in enumerate(code) if text.startswith(dot)]
    found = []
    for before, after in zip(places, places[1:]):
        if after - before <= NEAR:
            found += [text for text in code[before + 1 : after] if STACK_VECTOR.search(text)]
    return found, len(places)


@pytest.mark.parametrize("table", KERNELS)
def test_no_sum_is_spilled_between_dot_products(lancet, table):
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("DID NOT RUN: the kernels are for x86")
    if not shutil.which("objdump") or not shutil.which("nm"):
        pytest.skip("DID NOT RUN: objdump and nm are missing")
    if os.environ.get("LANCET_SLOW_BINARY"):
        pytest.skip("DID NOT RUN: sanitizers need registers of their own")
    dot, name = KERNELS[table]
    kernels = list(functions(lancet.binary, name))
    assert len(kernels) == INT8_FORMATS, [symbol for symbol, _, _ in kernels]
    for symbol, begin, end in kernels:
        found, dots = spills(instructions(lancet.binary, begin, end), dot)
        assert dots >= LEAST_DOTS, symbol
        assert len(found) * SPILL_SHARE <= dots, (symbol, found)
