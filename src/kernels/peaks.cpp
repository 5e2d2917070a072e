// The scalar peaks, and the choice. The scalar table defines results and is not meant to be fast: it has a peak for f32
// only, as the compiler makes it of plain C++.
#include "kernels/peaks.h"

#include <cstring>

#include "kernels/peak_tables.h"

namespace lancet {
namespace {

void multiply_add_f32(int64_t rounds) {
  constexpr int kSums = 32;
  float sums[kSums] = {}, w = 1.0001f;
  for (int64_t round = 0; round < rounds; round++) {
    asm volatile("" : "+r"(w));  // another number for all that the compiler knows
    for (float& sum : sums) sum = sum * w + w;
  }
  asm volatile("" ::"r"(sums) : "memory");
}

uint64_t read(std::span<const std::byte> bytes) {
  constexpr size_t kWords = 32;
  uint64_t sums[kWords] = {}, total = 0;
  for (size_t at = 0; at + sizeof sums <= bytes.size(); at += sizeof sums) {
    uint64_t words[kWords];
    std::memcpy(words, bytes.data() + at, sizeof words);
    for (size_t i = 0; i < kWords; i++) sums[i] += words[i];
  }
  for (const uint64_t sum : sums) total += sum;
  return total;
}

constexpr Peaks kScalarPeaks = {.table = "scalar",
                                .f32 = {"plain C++", 32, multiply_add_f32},
                                .bf16 = {"", 0, nullptr},
                                .int8 = {"", 0, nullptr},
                                .read = read};

}  // namespace

const Peaks& peaks_of(std::string_view table) {
#ifdef LANCET_X86_TABLES
  for (const Peaks* peaks : {&kAvx512Bf16Peaks, &kAvx512Peaks, &kAvx2Peaks})
    if (peaks->table == table) return *peaks;
#endif
  return kScalarPeaks;
}

}  // namespace lancet
