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

/// Keys and values as f32, f16 or q8_0, [layer][block][key, value][head][token of the block][head_width]: what one head
/// reads of a block is one contiguous run, as memory likes it.
class KvCache {
 public:
  KvCache() = default;
  /// Throws Error{io} if the system does not give the memory, Error{unsupported} if heads are no whole blocks of the
  /// format.
  KvCache(KvFormat format, int layers, int blocks, int heads, int head_width);

  /// Bytes that one block takes in all layers.
  static uint64_t block_bytes(KvFormat format, int layers, int width);

  int heads() const { return heads_; }
  int head_width() const { return head_width_; }
  int width() const { return heads_ * head_width_; }
  int64_t slots() const { return blocks_ * kBlockTokens; }

  /// key, value: [width].
  void store(const KernelTable&, int layer, int64_t slot, const float* key, const float* value);

  /// One head's keys in a block as the cache has them, [token of the block][head_width]: a matrix of key_format().
  const std::byte* keys(const BlockHead& from) const { return run(from, 0); }
  Format key_format() const { return stored_format(format_); }

  /// One head's values of the first `tokens` tokens of a block, as f32 [tokens, head_width].
  void load_values(const KernelTable& kernels, const BlockHead& from, int tokens, float* out) const;

 private:
  static Format stored_format(KvFormat format);
  void store_q8(const KernelTable&, const float* from, std::byte* to) const;

  /// `which` is 0 for keys, 1 for values.
  std::byte* run(const BlockHead& at, int which) const {
    return pages_.data() +
           (((at.layer * blocks_ + at.block) * 2 + which) * heads_ + at.head) * kBlockTokens * token_bytes_;
  }

  KvFormat format_ = KvFormat::f32;
  int heads_ = 0, head_width_ = 0;
  int64_t blocks_ = 0;
  int64_t token_bytes_ = 0;  // of one head's key of one token
  Pages pages_;
};

}  // namespace lancet
