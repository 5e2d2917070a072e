#include "base/thread_pool.h"

#include <algorithm>

#ifdef __linux__
#include <sched.h>
#endif

#include "base/check.h"

namespace lancet {
namespace {

// About 50 microseconds on the machines measured: longer than the gaps inside a step, shorter than anyone notices.
constexpr int kSpins = 4000;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int usable_cores() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  const int count = threads > 0 ? threads : usable_cores();
  for (int i = 1; i < count; i++) workers_.emplace_back([this] { worker_loop(); });
}

ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
}

void ThreadPool::run_pieces(int64_t items, int64_t grain, Call call, const void* context) {
  CHECK(grain >= 1);
  if (items <= 0) return;
  if (workers_.empty() || items <= grain) {
    for (int64_t begin = 0; begin < items; begin += grain) call(context, begin, std::min(begin + grain, items));
    return;
  }
  items_ = items;
  grain_ = grain;
  call_ = call;
  context_ = context;
  next_.store(0, std::memory_order_relaxed);
  busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  work();
  for (int spins = 0; busy_.load(std::memory_order_acquire) != 0; spins++) {
    if (spins < kSpins) {
      relax();
    } else {
      std::this_thread::yield();  // a worker lost its core; let it have this one
    }
  }
}

void ThreadPool::work() {
  while (true) {
    const int64_t begin = next_.fetch_add(grain_, std::memory_order_relaxed);
    if (begin >= items_) return;
    call_(context_, begin, std::min(begin + grain_, items_));
  }
}

void ThreadPool::worker_loop() {
  uint32_t seen = 0;
  while (true) {
    uint32_t epoch = epoch_.load(std::memory_order_acquire);
    for (int spins = 0; epoch == seen && spins < kSpins; spins++) {
      relax();
      epoch = epoch_.load(std::memory_order_acquire);
    }
    if (epoch == seen) {
      epoch_.wait(seen, std::memory_order_acquire);
      continue;
    }
    seen = epoch;
    if (stopping_.load(std::memory_order_relaxed)) return;
    work();
    busy_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace lancet
