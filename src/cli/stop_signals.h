// The signals that end the server, received by one thread of their own.
#pragma once

#include <signal.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace lancet {

/// Made before any other thread, so that all of them leave these signals to this one. SIGINT and SIGTERM are counted;
/// SIGHUP is ignored with a line in the log, because there is no configuration to read again; SIGPIPE is ignored.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;

  /// Until this is called a signal ends the process at once: there is nothing yet that could be lost.
  void count_from_now() { counting_ = true; }
  /// Waits for the `count`-th signal; false if it has not come after `patience`.
  bool wait(int count, std::chrono::milliseconds patience);
  /// The last one's number.
  int last() const { return last_; }

 private:
  void receive();

  sigset_t set_ = {};
  std::atomic<bool> counting_ = false, ending_ = false;
  std::atomic<int> last_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace lancet
