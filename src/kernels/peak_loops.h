// The loop shared by the peaks of all instruction sets. Included by files with flags of their own (kernels.h says why).
#pragma once

#include <cstdint>

namespace lancet {
namespace {

constexpr int kPeakSums = 12;  // latency times width of every product here: 5 cycles of 2 VNNI products are the most

/// Calls step(sum) on each of kPeakSums registers in turn. They have names because an array stays in memory (g++ 12
/// takes arrays apart before it unrolls). The empty statement at the end makes every sum needed.
template <typename Vector, typename Step>
void peak_loop(int64_t rounds, Vector start, const Step& step) {
  Vector a = start, b = start, c = start, d = start, e = start, f = start;
  Vector g = start, h = start, i = start, j = start, k = start, l = start;
  for (int64_t round = 0; round < rounds; round++) {
    step(a), step(b), step(c), step(d), step(e), step(f);
    step(g), step(h), step(i), step(j), step(k), step(l);
  }
  asm volatile("" ::"x"(a), "x"(b), "x"(c), "x"(d), "x"(e), "x"(f), "x"(g), "x"(h), "x"(i), "x"(j), "x"(k), "x"(l));
}

}  // namespace
}  // namespace lancet
