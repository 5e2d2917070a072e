// A fixed set of threads for the loops of one model step. Workers spin for a moment between loops (a step runs
// hundreds of them back to back), then sleep, so an idle server uses no CPU.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace lancet {

/// Splits loops over its threads. run() may be called by one thread at a time, which takes part in the work.
class ThreadPool {
 public:
  /// `threads` counts the caller too: 1 starts no thread. 0 means one per core that this process may use.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls body(begin, end) on disjoint pieces of [0, items), each at most `grain` long (>= 1), grabbed as threads get
  /// free; returns when all are done. The body must not throw. Which thread runs which piece is not defined.
  template <typename Body>
  void run(int64_t items, int64_t grain, const Body& body) {
    run_pieces(
        items, grain,
        [](const void* context, int64_t begin, int64_t end) { (*static_cast<const Body*>(context))(begin, end); },
        &body);
  }

 private:
  using Call = void (*)(const void* context, int64_t begin, int64_t end);
  void run_pieces(int64_t items, int64_t grain, Call call, const void* context);
  void work();
  void worker_loop();

  // The current loop. Written by run_pieces before epoch_ is raised (release), read by workers after they see it.
  int64_t items_ = 0, grain_ = 1;
  Call call_ = nullptr;
  const void* context_ = nullptr;
  alignas(64) std::atomic<int64_t> next_ = 0;    // first item nobody has taken; relaxed, it orders nothing
  alignas(64) std::atomic<uint32_t> epoch_ = 0;  // counts loops; release/acquire publishes the fields above
  alignas(64) std::atomic<int> busy_ = 0;        // workers still inside the loop; release/acquire publishes results
  std::atomic<bool> stopping_ = false;
  std::vector<std::jthread> workers_;  // last: joined before the fields above go
};

}  // namespace lancet
