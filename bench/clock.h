// Time of one thread and the clock of its core: what benchmarks on a shared machine can rely on.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstdint>

namespace lancet {

/// Seconds of processor time that this thread has used.
inline double thread_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// Core clock in GHz, from a chain of additions that depend on each other (one cycle each).
inline double core_ghz() {
  double best = 0;
  for (int repeat = 0; repeat < 5; repeat++) {
    const double start = thread_seconds();
    uint64_t x = 1;
    for (int i = 0; i < 10'000'000; i++) {
      x += 3;
      asm volatile("" : "+r"(x));
    }
    best = std::max(best, 1e7 / (thread_seconds() - start) / 1e9);
  }
  return best;
}

}  // namespace lancet
