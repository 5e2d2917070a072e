// Scratch memory of one step: a bump allocator that is emptied, not freed, when the next step begins. Blocks never move
// while a step runs, so every pointer handed out stays good; between steps they are merged into one, so a steady load
// soon allocates nothing at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace lancet {

/// Hands out 64-byte aligned, uninitialised memory until reset(). One thread at a time.
class Arena {
 public:
  /// Forgets everything handed out since the last reset.
  void reset();

  std::byte* bytes(size_t count);

  /// `count` objects of a trivial type.
  template <typename T>
  T* array(size_t count) {
    return reinterpret_cast<T*>(bytes(count * sizeof(T)));
  }

 private:
  struct Block {
    std::unique_ptr<std::byte[]> memory;
    std::byte* start;  // first aligned byte
    size_t size;       // from start
  };
  void add_block(size_t size);

  std::vector<Block> blocks_;  // the last one is being filled
  size_t used_ = 0;            // bytes of the last block
};

}  // namespace lancet
