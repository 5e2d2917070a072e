#include "backend/cpu/kv_cache.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/error.h"
#include "base/sizes.h"

namespace lancet {
namespace {

constexpr int kQuantBlock = 32;  // numbers of q8_0 that share a scale

}  // namespace

Format KvCache::stored_format(KvFormat format) {
  switch (format) {
    case KvFormat::f16: return Format::f16;
    case KvFormat::q8: return Format::q8_0;
    default: return Format::f32;
  }
}

uint64_t KvCache::block_bytes(KvFormat format, int layers, int width) {
  const FormatInfo& info = format_info(stored_format(format));
  const uint64_t blocks = divide_up(static_cast<uint64_t>(width), static_cast<uint64_t>(info.block_values));
  return uint64_t{2} * kBlockTokens * static_cast<uint64_t>(layers) * blocks * static_cast<uint64_t>(info.block_bytes);
}

KvCache::KvCache(KvFormat format, int layers, int blocks, int heads, int head_width)
    : format_(format), heads_(heads), head_width_(head_width), blocks_(blocks) {
  const int unit = format_info(key_format()).block_values;
  if (head_width % unit != 0) {
    throw Error(Fault::unsupported, fmt::format("an 8-bit cache needs heads of a multiple of {} numbers, the model has "
                                                "heads of {}; use --kv f16",
                                                unit, head_width));
  }
  token_bytes_ = row_bytes(key_format(), head_width);
  const uint64_t each = block_bytes(format, layers, heads * head_width);
  const auto bytes = checked_multiply(each, static_cast<uint64_t>(blocks));
  if (!bytes || *bytes > INT64_MAX) {
    throw Error(Fault::io, fmt::format("a cache of {} blocks of {} bytes is more than any machine has", blocks, each));
  }
  pages_ = Pages(*bytes, fmt::format("the cache of {} tokens", slots()));
}

void KvCache::store(const KernelTable& kernels, int layer, int64_t slot, const float* key, const float* value) {
  const int64_t block = slot / kBlockTokens, token = slot % kBlockTokens;
  const int64_t offset = token * token_bytes_;
  for (int head = 0; head < heads_; head++) {
    const int64_t at = int64_t{head} * head_width_;
    for (const int which : {0, 1}) {
      const float* from = (which == 0 ? key : value) + at;
      std::byte* to = run({.layer = layer, .block = block, .head = head}, which) + offset;
      switch (format_) {
        case KvFormat::f16: kernels.store_f16(from, reinterpret_cast<uint16_t*>(to), head_width_); break;
        case KvFormat::q8: store_q8(kernels, from, to); break;
        case KvFormat::f32: std::memcpy(to, from, static_cast<size_t>(head_width_) * sizeof(float));
      }
    }
  }
}

/// One head of one token, quantised as activations are; the scale is then rounded to f16. That moves a number by
/// 1/2048 of itself at most (a sixteenth of a step), or by 4e-6 where all 32 are below 1/128.
void KvCache::store_q8(const KernelTable& kernels, const float* from, std::byte* to) const {
  for (int at = 0; at < head_width_; at += kQuantBlock, to += sizeof(uint16_t) + kQuantBlock) {
    int8_t quants[kQuantBlock];
    float scale;
    int32_t sum;
    kernels.quantise(from + at, 1, kQuantBlock, quants, &scale, &sum);
    const uint16_t half = f16_from_f32(scale);
    std::memcpy(to, &half, sizeof half);
    std::memcpy(to + sizeof half, quants, kQuantBlock);
  }
}

void KvCache::load_values(const KernelTable& kernels, const BlockHead& from, int tokens, float* out) const {
  const int count = tokens * head_width_;
  const std::byte* values = run(from, 1);
  switch (format_) {
    case KvFormat::f16: kernels.load_f16(reinterpret_cast<const uint16_t*>(values), out, count); break;
    case KvFormat::q8: kernels.load_q8(values, out, count / kQuantBlock); break;
    case KvFormat::f32: std::memcpy(out, values, static_cast<size_t>(count) * sizeof(float));
  }
}

}  // namespace lancet
