// Keys and values of all layers, in slots that the engine numbers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/backend.h"
#include "backend/cpu/pages.h"
#include "kernels/kernels.h"

namespace lancet {

/// What one key head has in one block.
struct BlockHead {
  int layer;
  int64_t block;
  int head;
};

/// [layer][head][block] runs of kernels/attention.h: blocks that follow one another make one stream for each head.
class KvCache {
 public:
  KvCache() = default;
  /// Throws Error{io} if the system does not give the memory.
  KvCache(KvFormat format, int layers, int blocks, int heads, int head_width);

  /// Bytes that one block takes in all layers.
  static uint64_t block_bytes(KvFormat format, int layers, int heads, int head_width);

  KvFormat format() const { return format_; }
  int heads() const { return heads_; }
  int head_width() const { return head_width_; }
  int width() const { return heads_ * head_width_; }
  int64_t slots() const { return blocks_ * kBlockTokens; }

  /// key, value: [width].
  void store(const KernelTable&, int layer, int64_t slot, const float* key, const float* value);

  const std::byte* run(const BlockHead& at) const {
    return pages_.data() + ((int64_t{at.layer} * heads_ + at.head) * blocks_ + at.block) * run_bytes_;
  }

 private:
  KvFormat format_ = KvFormat::f32;
  int heads_ = 0, head_width_ = 0;
  int64_t blocks_ = 0;
  int64_t run_bytes_ = 0;
  Pages pages_;
};

}  // namespace lancet
