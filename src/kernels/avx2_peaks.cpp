// The peaks of the AVX2 table. Assembly, one line a step, because the step is what is measured.
#include "kernels/peaks.h"
#include "kernels/tables.h"

#ifdef LANCET_X86_TABLES

#include <immintrin.h>

#include "kernels/peak_loops.h"
#include "kernels/peak_tables.h"

namespace lancet {
namespace {

void fma_f32(int64_t rounds) {
  const __m256 w = _mm256_set1_ps(1.0001f), x = _mm256_set1_ps(0.9999f);
  peak_loop<__m256>(rounds, x, [&](__m256& sum) { asm("vfmadd231ps %1, %2, %0" : "+x"(sum) : "x"(w), "x"(x)); });
}

void dot_int8(int64_t rounds) {
  const __m256i w = _mm256_set1_epi8(2), x = _mm256_set1_epi8(3), ones = _mm256_set1_epi16(1);
  peak_loop<__m256i>(rounds, _mm256_setzero_si256(), [&](__m256i& sum) {
    __m256i pairs;
    asm("vpmaddubsw %2, %3, %1\n\tvpmaddwd %4, %1, %1\n\tvpaddd %1, %0, %0"
        : "+x"(sum), "=&x"(pairs)
        : "x"(w), "x"(x), "x"(ones));
  });
}

uint64_t read(std::span<const std::byte> bytes) {
  constexpr size_t kVector = sizeof(__m256i);
  const auto load = [](const std::byte* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); };
  __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
  for (const std::byte *at = bytes.data(), *end = at + bytes.size() / (4 * kVector) * (4 * kVector); at < end;
       at += 4 * kVector) {
    a = _mm256_add_epi64(a, load(at));
    b = _mm256_add_epi64(b, load(at + kVector));
    c = _mm256_add_epi64(c, load(at + 2 * kVector));
    d = _mm256_add_epi64(d, load(at + 3 * kVector));
  }
  alignas(kVector) uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes),
                     _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d)));
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

}  // namespace

constinit const Peaks kAvx2Peaks = {.table = "avx2",
                                    .f32 = {"vfmadd231ps ymm", kPeakSums * 8, fma_f32},
                                    .bf16 = {"", 0, nullptr},
                                    .int8 = {"vpmaddubsw + vpmaddwd + vpaddd ymm", kPeakSums * 32, dot_int8},
                                    .read = read};

}  // namespace lancet

#endif
