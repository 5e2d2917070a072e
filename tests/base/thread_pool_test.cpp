// ThreadPool: every piece once, no CPU when idle, and what happens when a worker loses its core.
#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "base/random.h"

namespace lancet {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

TEST(ThreadPool, RunsEveryItemOnceForAnySplit) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    Random random(7);
    for (int round = 0; round < 300; round++) {
      const auto items = static_cast<int64_t>(random.below(200)), grain = 1 + static_cast<int64_t>(random.below(40));
      std::vector<std::atomic<int>> hits(static_cast<size_t>(items));
      pool.run(items, grain, [&](int64_t begin, int64_t end) {
        EXPECT_LE(end - begin, grain);
        for (int64_t i = begin; i < end; i++) hits[static_cast<size_t>(i)]++;
      });
      for (const auto& hit : hits) ASSERT_EQ(hit, 1);
    }
  }
}

TEST(ThreadPool, WhatAPieceWroteIsThereAfterTheLoop) {
  ThreadPool pool(4);
  std::vector<int64_t> numbers(64);  // no atomics: the pool itself must order these
  for (int64_t round = 1; round <= 20'000; round++) {
    pool.run(64, 1 + round % 7, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) numbers[static_cast<size_t>(i)] += i;
    });
    ASSERT_EQ(numbers[63], 63 * round);
    ASSERT_EQ(numbers[1], round);
  }
}

/// CPU seconds of this process.
double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

TEST(ThreadPool, UsesNoCpuWhenIdle) {
  ThreadPool pool(4);
  std::mutex mutex;
  std::condition_variable never;
  double least = 1;
  for (int attempt = 0; attempt < 10 && least >= 0.01; attempt++) {  // the machine may steal time from an interval
    std::atomic<int> sum = 0;
    pool.run(1000, 1, [&](int64_t, int64_t) { sum++; });  // awake, all of them
    ASSERT_EQ(sum, 1000);
    const auto start = Clock::now();
    const double used = cpu_seconds();
    std::unique_lock lock(mutex);
    never.wait_until(lock, start + milliseconds(200), [] { return false; });
    least = std::min(least, (cpu_seconds() - used) / std::chrono::duration<double>(Clock::now() - start).count());
  }
  EXPECT_LT(least, 0.01);
}

/// One loop whose worker holds a piece long after the caller has run out of work.
void run_with_late_worker(ThreadPool& pool) {
  const auto caller = std::this_thread::get_id();
  const auto start = Clock::now();
  std::atomic<bool> taken = false;
  pool.run(2, 1, [&](int64_t, int64_t) {
    if (std::this_thread::get_id() == caller) {
      while (!taken && Clock::now() < start + milliseconds(200)) std::this_thread::yield();
      return;
    }
    taken = true;
    const auto end = Clock::now() + milliseconds(5) + 10 * (Clock::now() - start);
    while (Clock::now() < end) std::this_thread::yield();
  });
}

TEST(ThreadPool, AWorkerThatWasWaitedForRestsAndComesBack) {
  ThreadPool pool(2);
  for (int attempt = 0; attempt < 50 && pool.resting() == 0; attempt++) run_with_late_worker(pool);
  ASSERT_EQ(pool.resting(), 1);
  // While it rests the caller does all; afterwards the worker takes pieces again.
  const auto caller = std::this_thread::get_id();
  const auto end = Clock::now() + std::chrono::seconds(20);
  std::atomic<bool> came_back = false;
  while (!came_back && Clock::now() < end) {
    const bool rests = pool.resting() > 0;
    std::atomic<int> sum = 0;
    pool.run(100, 1, [&](int64_t, int64_t) {
      sum++;
      if (!rests && std::this_thread::get_id() != caller) came_back = true;
    });
    ASSERT_EQ(sum, 100);
  }
  EXPECT_TRUE(came_back);
}

TEST(ThreadPool, EndsWhileWorkersRestOrSpin) {
  for (int round = 0; round < 20; round++) {
    ThreadPool pool(3);
    if (round % 2 == 0) run_with_late_worker(pool);
    pool.run(10, 1, [](int64_t, int64_t) {});
  }
}

}  // namespace
}  // namespace lancet
