#include "backend/cpu/kv_cache.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/error.h"
#include "base/sizes.h"

namespace lancet {
namespace {

static_assert(kBlockTokens == kBlockLanes);

/// One head of one token: its numbers and the place of its run.
struct HeadToken {
  const float *key, *value;
  int head_width, token;
  std::byte* run;
};

/// Calls body(Kv{}) with the constants of the format.
template <class Body>
auto with_format(KvFormat format, const Body& body) {
  switch (format) {
    case KvFormat::f16: return body(KvF16{});
    case KvFormat::q8: return body(KvQ8{});
    default: return body(KvF32{});
  }
}

void store_scale(float scale, float& to) { to = scale; }
/// Rounding moves a number by 1/2048 of itself at most (a sixteenth of a step), or by 4e-6 where all 32 are below
/// 1/128.
void store_scale(float scale, uint16_t& to) { to = f16_from_f32(scale); }

/// Codes by `place(token, column)`, scales behind them. False if a number is not finite.
template <class Kv, class Place>
bool store_codes(const KernelTable& kernels, const float* from, const HeadToken& at, std::byte* to, Place place) {
  const int width = padded_width(at.head_width);
  auto* codes = reinterpret_cast<typename Kv::Code*>(to);
  auto* scales = reinterpret_cast<typename Kv::Scale*>(to + code_bytes<Kv>(width));
  bool finite = true;
  for (int block = 0, begin = 0; block < scale_blocks<Kv>(width); block++, begin += Kv::kScaleBlock) {
    int16_t rounded[Kv::kScaleBlock];
    const int end = scale_block_end<Kv>(block, width), count = std::min(end, at.head_width) - begin;
    const float scale = kernels.quantise_wide(from + begin, count, Kv::kMost, rounded);
    finite = finite && !std::isnan(scale);
    store_scale(scale, scales[block * kBlockLanes + at.token]);
    for (int col = begin; col < end; col++) {
      codes[place(at.token, col)] = static_cast<typename Kv::Code>(rounded[col - begin]);
    }
  }
  return finite;
}

template <class Kv>
void store_head(const KernelTable& kernels, const HeadToken& at) {
  const int width = padded_width(at.head_width);
  std::byte* values = at.run + half_run_bytes<Kv>(width);
  if constexpr (Kv::kScaleBlock == 0) {
    for (int col = 0; col < at.head_width; col++) {
      reinterpret_cast<float*>(at.run)[key_at<Kv>(at.token, col)] = at.key[col];
      reinterpret_cast<float*>(values)[value_at<Kv>(at.token, col)] = at.value[col];
    }
  } else {
    store_codes<Kv>(kernels, at.key, at, at.run, key_at<Kv>);
    if (store_codes<Kv>(kernels, at.value, at, values, value_at<Kv>)) return;
    // Rounded weights lose a value's NaN; a score of NaN reaches the result by way of the weights' sum.
    auto* scales = reinterpret_cast<typename Kv::Scale*>(at.run + code_bytes<Kv>(width));
    store_scale(std::numeric_limits<float>::quiet_NaN(), scales[at.token]);
  }
}

int64_t run_bytes(KvFormat format, int head_width) {
  return with_format(format, [&](auto kv) { return 2 * half_run_bytes<decltype(kv)>(padded_width(head_width)); });
}

}  // namespace

uint64_t KvCache::block_bytes(KvFormat format, int layers, int heads, int head_width) {
  return static_cast<uint64_t>(layers) * static_cast<uint64_t>(heads) *
         static_cast<uint64_t>(run_bytes(format, head_width));
}

KvCache::KvCache(KvFormat format, int layers, int blocks, int heads, int head_width)
    : format_(format), heads_(heads), head_width_(head_width), blocks_(blocks) {
  run_bytes_ = run_bytes(format, head_width);
  const uint64_t each = block_bytes(format, layers, heads, head_width);
  const auto bytes = checked_multiply(each, static_cast<uint64_t>(blocks));
  if (!bytes || *bytes > INT64_MAX) {
    throw Error(Fault::io, fmt::format("a cache of {} blocks of {} bytes is more than any machine has", blocks, each));
  }
  pages_ = Pages(*bytes, fmt::format("the cache of {} tokens", slots()));
}

void KvCache::store(const KernelTable& kernels, int layer, int64_t slot, const float* key, const float* value) {
  const int64_t block = slot / kBlockTokens;
  for (int head = 0; head < heads_; head++) {
    const HeadToken at{.key = key + int64_t{head} * head_width_,
                       .value = value + int64_t{head} * head_width_,
                       .head_width = head_width_,
                       .token = static_cast<int>(slot % kBlockTokens),
                       .run = pages_.data() + (run({.layer = layer, .block = block, .head = head}) - pages_.data())};
    with_format(format_, [&](auto kv) { store_head<decltype(kv)>(kernels, at); });
  }
}

}  // namespace lancet
