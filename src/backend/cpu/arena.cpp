#include "backend/cpu/arena.h"

#include <algorithm>

namespace lancet {
namespace {

constexpr size_t kAlignment = 64;  // a cache line, and the widest vector
constexpr size_t kFirstBlock = size_t{1} << 20;

}  // namespace

void Arena::reset() {
  used_ = 0;
  if (blocks_.size() < 2) return;
  size_t total = 0;
  for (const Block& block : blocks_) total += block.size;
  blocks_.clear();
  add_block(total);
}

std::byte* Arena::bytes(size_t count) {
  const size_t size = (count + kAlignment - 1) / kAlignment * kAlignment;
  if (blocks_.empty() || blocks_.back().size - used_ < size) {
    add_block(std::max({size, kFirstBlock, blocks_.empty() ? 0 : blocks_.back().size}));
    used_ = 0;
  }
  std::byte* result = blocks_.back().start + used_;
  used_ += size;
  return result;
}

void Arena::add_block(size_t size) {
  auto memory = std::make_unique_for_overwrite<std::byte[]>(size + kAlignment);
  const auto address = reinterpret_cast<uintptr_t>(memory.get());
  std::byte* start = memory.get() + (kAlignment - address % kAlignment) % kAlignment;
  blocks_.push_back({std::move(memory), start, size});
}

}  // namespace lancet
