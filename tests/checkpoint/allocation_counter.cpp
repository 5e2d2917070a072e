// Replaces this program's operator new and delete by counting ones.
#include "allocation_counter.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace lancet::test {
namespace {

// Tests that look at these run on one thread; atomics because other tests may have started threads. Relaxed: only sums.
std::atomic<size_t> live = 0, peak = 0, base = 0;

// What operator new stands on. Counting it is the one reason to name it.
constexpr auto kTake = &std::malloc;
constexpr auto kGive = &std::free;

void* take(size_t bytes) {
  void* memory = kTake(bytes ? bytes : 1);
  if (!memory) throw std::bad_alloc();
  const size_t now = live.fetch_add(malloc_usable_size(memory), std::memory_order_relaxed) + malloc_usable_size(memory);
  size_t seen = peak.load(std::memory_order_relaxed);
  while (now > seen && !peak.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {}
  return memory;
}

void give(void* memory) {
  if (!memory) return;
  live.fetch_sub(malloc_usable_size(memory), std::memory_order_relaxed);
  kGive(memory);
}

}  // namespace

size_t allocation_peak() {
  const size_t top = peak.load(std::memory_order_relaxed), start = base.load(std::memory_order_relaxed);
  return top > start ? top - start : 0;
}

void reset_allocation_peak() {
  base = live.load();
  peak = live.load();
}

}  // namespace lancet::test

void* operator new(size_t bytes) { return lancet::test::take(bytes); }
void* operator new[](size_t bytes) { return lancet::test::take(bytes); }
void operator delete(void* memory) noexcept { lancet::test::give(memory); }
void operator delete[](void* memory) noexcept { lancet::test::give(memory); }
void operator delete(void* memory, size_t) noexcept { lancet::test::give(memory); }
void operator delete[](void* memory, size_t) noexcept { lancet::test::give(memory); }
