// Replaces this program's operator new and delete by ones that can be told to fail.
#include "engine/failing_allocator.h"

#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

namespace lancet::test {
namespace {

thread_local long allocations_left = 0;  // until one fails; 0: none will
thread_local bool failed = false;

// What operator new stands on. Failing it is the one reason to name it.
constexpr auto kTake = &std::malloc;
constexpr auto kGive = &std::free;

void* take(size_t bytes) {
  if (allocations_left > 0 && --allocations_left == 0) {
    failed = true;
    throw std::bad_alloc();
  }
  void* memory = kTake(bytes ? bytes : 1);
  if (!memory) throw std::bad_alloc();
  return memory;
}

}  // namespace

void fail_allocation(long count) {
  allocations_left = count;
  failed = false;
}

bool allocation_failed() { return failed; }

AllocationsAllowed::AllocationsAllowed() : left_(std::exchange(allocations_left, 0)) {}
AllocationsAllowed::~AllocationsAllowed() { allocations_left = left_; }

}  // namespace lancet::test

void* operator new(size_t bytes) { return lancet::test::take(bytes); }
void* operator new[](size_t bytes) { return lancet::test::take(bytes); }
void operator delete(void* memory) noexcept { lancet::test::kGive(memory); }
void operator delete[](void* memory) noexcept { lancet::test::kGive(memory); }
void operator delete(void* memory, size_t) noexcept { lancet::test::kGive(memory); }
void operator delete[](void* memory, size_t) noexcept { lancet::test::kGive(memory); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return lancet::test::kTake(bytes ? bytes : 1); }
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept { return lancet::test::kTake(bytes ? bytes : 1); }
