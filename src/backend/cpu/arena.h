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

  /// What is handed out while a Scope lives is free again after it: an operation's own memory, warm in the cache for
  /// the next one. Scopes nest; a Matrix of the step must not be made inside one.
  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), blocks_(arena.blocks_.size()), used_(arena.used_) {}
    ~Scope() { arena_.used_ = arena_.blocks_.size() == blocks_ ? used_ : 0; }  // a newer block has nothing older
    Scope(const Scope&) = delete;

   private:
    Arena& arena_;
    size_t blocks_, used_;
  };

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
