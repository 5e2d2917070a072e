// Activations for panel products, from row-major f32, with the quantiser of the table that includes this.
#pragma once

#include <cstring>

#include "kernels/panels.h"

namespace lancet {
namespace {

inline void put_word(const PrepareGroup& job, int64_t number, int t, const void* word) {
  std::byte* group = job.to->values + job.group.begin * job.to->row_bytes();
  std::memcpy(group + (number * job.group.tokens + t) * 4, word, 4);
}

/// The row and the plane of the group's token t.
inline const float* row_of(const PrepareGroup& job, int t) {
  return job.values + (job.group.begin + t) / job.planes * int64_t{job.cols};
}
inline bool is_rest(const PrepareGroup& job, int t) { return (job.group.begin + t) % job.planes == 1; }

inline void prepare_f32(const PrepareGroup& job) {
  for (int c = 0; c < job.cols; c++) {
    for (int t = 0; t < job.group.tokens; t++) {
      const float value = is_rest(job, t) ? 0.0f : row_of(job, t)[c];
      put_word(job, c, t, &value);
    }
  }
}

/// round(numbers, out): 32 numbers to bf16.
template <void (*round)(const float*, uint16_t*)>
void prepare_bf16(const PrepareGroup& job) {
  for (int t = 0; t < job.group.tokens; t++) {
    const float* row = row_of(job, t);
    for (int c = 0; c < job.to->cols; c += 32) {
      float numbers[32] = {};
      const int count = job.cols - c < 32 ? job.cols - c : 32;
      if (count > 0) std::memcpy(numbers, row + c, static_cast<size_t>(count) * sizeof(float));
      uint16_t halves[32];
      round(numbers, halves);
      if (is_rest(job, t)) {
        for (int i = 0; i < 32; i++) numbers[i] -= f32_from_bf16(halves[i]);
        round(numbers, halves);
      }
      for (int i = 0; i < 32 && c + i < job.to->cols; i += 2) put_word(job, (c + i) / 2, t, halves + i);
    }
  }
}

/// quantise(numbers, quants, scale, sum): a block of 32.
template <void (*quantise)(const float*, int8_t*, float&, int32_t&)>
void prepare_int8(const PrepareGroup& job) {
  const PanelActivations& to = *job.to;
  const int blocks = to.cols / kQuantBlock;
  for (int t = 0; t < job.group.tokens; t++) {
    const float* row = row_of(job, t);
    for (int b = 0; b < blocks; b++) {
      int8_t quants[kQuantBlock] = {};
      float scale = 0;
      int32_t sum = 0, first_half = 0;
      if (b * kQuantBlock < job.cols) quantise(row + b * kQuantBlock, quants, scale, sum);
      if (is_rest(job, t)) {
        float rest[kQuantBlock];
        const bool inside = b * kQuantBlock < job.cols;
        for (int i = 0; i < kQuantBlock; i++) {
          rest[i] = inside ? row[b * kQuantBlock + i] - scale * static_cast<float>(quants[i]) : 0.0f;
        }
        quantise(rest, quants, scale, sum);
      }
      for (int i = 0; i < kQuantBlock / 2; i++) first_half += quants[i];
      for (int i = 0; i < kQuantBlock; i += 4) put_word(job, (b * kQuantBlock + i) / 4, t, quants + i);
      const int64_t group = int64_t{job.group.begin} * blocks;
      const int64_t at = group + int64_t{b} * job.group.tokens + t;
      to.scales[at] = scale;
      to.scaled_sums[at] = scale * static_cast<float>(sum);
      to.zero_8[at] = -8 * sum;
      to.zero_128[at] = -128 * sum;
      const int64_t halves = 2 * group + 2 * int64_t{b} * job.group.tokens + t;
      to.zero_32[halves] = -32 * first_half;
      to.zero_32[halves + job.group.tokens] = -32 * (sum - first_half);
    }
  }
}

}  // namespace
}  // namespace lancet
