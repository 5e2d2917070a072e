// A fixed set of threads for the loops of one model step. Workers spin for a moment between loops (a step runs
// hundreds of them back to back), then sleep, so an idle server uses no CPU.
//
// Nobody waits for a thread that has nothing in its hands: a loop ends when its pieces are done, not when every worker
// has been there. So a worker whose core something else has taken costs nothing as long as it is between pieces; one
// that lost its core inside a piece is waited for, asleep (the core that becomes free is where the scheduler can put
// it), and then rests for a while, longer each time, because half of a core is worse than none.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
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
  /// Workers that rest because they were waited for too long; for tests and curiosity. The calling thread of run().
  int resting() const { return resting_; }

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
  using Clock = std::chrono::steady_clock;

  /// What one worker and the caller tell each other.
  struct alignas(64) Slot {
    std::atomic<uint32_t> wake = 0;     // what the worker sleeps on
    std::atomic<bool> asleep = false;   // set by the worker before it sleeps, cleared by whoever ends the sleep;
                                        // sequentially consistent with state_, so no wake is lost
    std::atomic<bool> resting = false;  // take no pieces, sleep; a hint, orders nothing
    std::atomic<bool> working = false;  // may hold a piece; a hint, orders nothing
    // The caller's own notes.
    bool late = false;
    Clock::time_point rest_end{};
    Clock::duration rest{};
  };

  void run_pieces(int64_t items, int64_t grain, Call call, const void* context);
  uint32_t work();
  void wait_for_others(Clock::time_point begin, uint32_t pieces, uint32_t mine);
  void wake_sleepers(uint32_t most);
  void end_rests(Clock::time_point now);
  void put_late_to_rest();
  void worker_loop(Slot& slot);
  void sleep(Slot& slot, uint32_t seen);

  // The current loop. Written by run_pieces before state_ (release); read by whoever has taken a piece (acquire), which
  // keeps run_pieces from returning and so from writing again.
  int64_t items_ = 0, grain_ = 1, pieces_ = 0;
  Call call_ = nullptr;
  const void* context_ = nullptr;
  alignas(64) std::atomic<uint64_t> state_ = 0;     // number of the loop << 32 | 2^31 + pieces that nobody has taken
  alignas(64) std::atomic<uint32_t> finished_ = 0;  // pieces done by workers; release/acquire publishes results
  alignas(64) std::atomic<int> sleepers_ = 0;       // slots with asleep set
  std::atomic<bool> stopping_ = false;
  int resting_ = 0;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<std::jthread> workers_;  // last: joined before the fields above go
};

}  // namespace lancet
