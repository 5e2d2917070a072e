// The peaks of the AVX-512 tables: every product is one instruction.
#include "kernels/peaks.h"
#include "kernels/tables.h"

#ifdef LANCET_X86_TABLES

#include "kernels/gcc12_intrinsics.h"

#include <immintrin.h>

#include "kernels/peak_loops.h"
#include "kernels/peak_tables.h"

namespace lancet {
namespace {

void fma_f32(int64_t rounds) {
  const __m512 w = _mm512_set1_ps(1.0001f), x = _mm512_set1_ps(0.9999f);
  peak_loop<__m512>(rounds, x, [&](__m512& sum) { asm("vfmadd231ps %1, %2, %0" : "+v"(sum) : "v"(w), "v"(x)); });
}

void dot_bf16(int64_t rounds) {
  const __m512i ones = _mm512_set1_epi32(0x3f803f80);
  peak_loop<__m512>(rounds, _mm512_setzero_ps(), [&](__m512& sum) {
    asm("vdpbf16ps %1, %1, %0" : "+v"(sum) : "v"(ones));
  });
}

void dot_int8(int64_t rounds) {
  const __m512i w = _mm512_set1_epi8(2), x = _mm512_set1_epi8(3);
  peak_loop<__m512i>(rounds, _mm512_setzero_si512(), [&](__m512i& sum) {
    asm("vpdpbusd %1, %2, %0" : "+v"(sum) : "v"(w), "v"(x));
  });
}

uint64_t read(std::span<const std::byte> bytes) {
  constexpr size_t kVector = sizeof(__m512i);
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
  for (const std::byte *at = bytes.data(), *end = at + bytes.size() / (4 * kVector) * (4 * kVector); at < end;
       at += 4 * kVector) {
    a = _mm512_add_epi64(a, _mm512_loadu_si512(at));
    b = _mm512_add_epi64(b, _mm512_loadu_si512(at + kVector));
    c = _mm512_add_epi64(c, _mm512_loadu_si512(at + 2 * kVector));
    d = _mm512_add_epi64(d, _mm512_loadu_si512(at + 3 * kVector));
  }
  const __m512i sum = _mm512_add_epi64(_mm512_add_epi64(a, b), _mm512_add_epi64(c, d));
  alignas(64) uint64_t lanes[8];  // added here: the intrinsic's own sum is signed and may overflow
  _mm512_store_si512(lanes, sum);
  uint64_t total = 0;
  for (const uint64_t lane : lanes) total += lane;
  return total;
}

}  // namespace

constinit const Peaks kAvx512Peaks = {.table = "avx512",
                                      .f32 = {"vfmadd231ps zmm", kPeakSums * 16, fma_f32},
                                      .bf16 = {"", 0, nullptr},
                                      .int8 = {"vpdpbusd zmm", kPeakSums * 64, dot_int8},
                                      .read = read};
constinit const Peaks kAvx512Bf16Peaks = {.table = "avx512bf16",
                                          .f32 = {"vfmadd231ps zmm", kPeakSums * 16, fma_f32},
                                          .bf16 = {"vdpbf16ps zmm", kPeakSums * 32, dot_bf16},
                                          .int8 = {"vpdpbusd zmm", kPeakSums * 64, dot_int8},
                                          .read = read};

}  // namespace lancet

#endif
