#include "backend/cpu/kv_cache.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/error.h"
#include "base/sizes.h"

namespace lancet {
namespace {

int64_t value_bytes(KvFormat format) { return format == KvFormat::f16 ? 2 : 4; }

}  // namespace

uint64_t KvCache::block_bytes(KvFormat format, int layers, int width) {
  return uint64_t{2} * kBlockTokens * static_cast<uint64_t>(layers) * static_cast<uint64_t>(width) *
         static_cast<uint64_t>(value_bytes(format));
}

KvCache::KvCache(KvFormat format, int layers, int blocks, int heads, int head_width)
    : format_(format),
      heads_(heads),
      head_width_(head_width),
      blocks_(blocks),
      run_bytes_(int64_t{kBlockTokens} * head_width * value_bytes(format)) {
  const uint64_t each = block_bytes(format, layers, heads * head_width);
  const auto bytes = checked_multiply(each, static_cast<uint64_t>(blocks));
  if (!bytes || *bytes > INT64_MAX) {
    throw Error(Fault::io, fmt::format("a cache of {} blocks of {} bytes is more than any machine has", blocks, each));
  }
  pages_ = Pages(*bytes, fmt::format("the cache of {} tokens", slots()));
}

void KvCache::store(const KernelTable& kernels, int layer, int64_t slot, const float* key, const float* value) {
  const int64_t block = slot / kBlockTokens, token = slot % kBlockTokens;
  const int64_t offset = token * head_width_ * value_bytes(format_);
  for (int head = 0; head < heads_; head++) {
    const int64_t at = int64_t{head} * head_width_;
    for (const int which : {0, 1}) {
      const float* from = (which == 0 ? key : value) + at;
      std::byte* to = run({.layer = layer, .block = block, .head = head}, which) + offset;
      if (format_ == KvFormat::f16) {
        kernels.store_f16(from, reinterpret_cast<uint16_t*>(to), head_width_);
      } else {
        std::memcpy(to, from, static_cast<size_t>(head_width_) * sizeof(float));
      }
    }
  }
}

void KvCache::load_values(const KernelTable& kernels, const BlockHead& from, int tokens, float* out) const {
  const int count = tokens * head_width_;
  const std::byte* values = run(from, 1);
  if (format_ == KvFormat::f16) {
    // 0 + 1 * value is the value: the table's fast way from f16 to f32.
    std::fill_n(out, count, 0.0f);
    kernels.axpy_f16(1.0f, reinterpret_cast<const uint16_t*>(values), out, count);
  } else {
    std::memcpy(out, values, static_cast<size_t>(count) * sizeof(float));
  }
}

}  // namespace lancet
