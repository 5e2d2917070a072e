// What every CPU operation works with: the loops, the threads, the step's scratch memory.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "backend/cpu/arena.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace lancet {

struct CpuCore {
  const KernelTable& kernels;
  ThreadPool pool;
  Arena arena;
  bool exact;  // f32 activations in every product
};

/// Calls body(worker, item) for every item in [0, items). Items that run at the same time have different workers, all
/// below pool.threads(): a worker's number picks its scratch memory. Items are grabbed one by one as threads get free.
template <typename Body>
void for_each_item(ThreadPool& pool, int64_t items, const Body& body) {
  std::atomic<int64_t> next = 0;  // relaxed: it hands out numbers and orders nothing
  pool.run(std::min<int64_t>(pool.threads(), items), 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; worker++) {
      for (int64_t item = next.fetch_add(1, std::memory_order_relaxed); item < items;
           item = next.fetch_add(1, std::memory_order_relaxed)) {
        body(worker, item);
      }
    }
  });
}

/// As for_each_item, but each worker has a share of neighbours, and takes from others' shares when its own is done:
/// what a worker fetches beyond one item is the next one's, and in no other core's cache.
template <typename Body>
void for_each_neighbour(ThreadPool& pool, int64_t items, const Body& body) {
  struct alignas(64) Share {
    std::atomic<int64_t> next = 0;  // relaxed, as above
    int64_t end = 0;
  };
  const int64_t workers = std::min<int64_t>(pool.threads(), items);
  std::vector<Share> shares(static_cast<size_t>(workers));
  for (int64_t i = 0; i < workers; i++) {
    Share& share = shares[static_cast<size_t>(i)];
    share.next.store(i * items / workers, std::memory_order_relaxed);
    share.end = (i + 1) * items / workers;
  }
  pool.run(workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; worker++) {
      for (int64_t i = 0; i < workers; i++) {
        Share& share = shares[static_cast<size_t>((worker + i) % workers)];
        for (int64_t item = share.next.fetch_add(1, std::memory_order_relaxed); item < share.end;
             item = share.next.fetch_add(1, std::memory_order_relaxed)) {
          body(worker, item);
        }
      }
    }
  });
}

/// Calls body(row) for every row; `row_work` is what one row costs in elements touched. Small loops stay on the
/// calling thread: waking the others costs more than they would save.
template <typename Body>
void for_each_row(ThreadPool& pool, int64_t rows, int64_t row_work, const Body& body) {
  constexpr int64_t kGrainWork = 16384;  // elements; some microseconds
  const int64_t grain = std::max<int64_t>(1, kGrainWork / std::max<int64_t>(1, row_work));
  pool.run(rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) body(row);
  });
}

}  // namespace lancet
