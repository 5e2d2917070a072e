// One budget for all work on untrusted data: steps, bytes, a deadline and a cancel flag, polled by every loop whose
// length an outsider decides (parsers, templates, the tokenizer, prefill).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace lancet {

/// A flag that one thread raises and others poll. Relaxed order suffices: it carries no data.
class CancelFlag {
 public:
  void raise() { raised_.store(true, std::memory_order_relaxed); }
  bool raised() const { return raised_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> raised_ = false;
};

struct BudgetLimits {
  uint64_t steps = UINT64_MAX;
  uint64_t bytes = UINT64_MAX;
  std::chrono::nanoseconds time = std::chrono::nanoseconds::max();  // from construction
};

/// Counts work down and throws Error{budget} (or Error{cancelled}) when it is spent. One thread at a time.
class Budget {
 public:
  /// `what` names the work in messages: "the chat template". The default limits are endless.
  explicit Budget(std::string what, BudgetLimits limits = {}, std::shared_ptr<const CancelFlag> cancel = nullptr);

  /// Spends steps; looks at the clock and the cancel flag every few thousand.
  void step(uint64_t count = 1) {
    if (count > steps_left_) fail_steps();
    steps_left_ -= count;
    if (count >= until_poll_) {
      poll();
    } else {
      until_poll_ -= count;
    }
  }
  /// Charges memory that the work is about to take.
  void charge(uint64_t bytes) {
    if (bytes > bytes_left_) fail_bytes();
    bytes_left_ -= bytes;
  }
  /// Looks at the clock and the cancel flag now.
  void poll();

 private:
  [[noreturn]] void fail_steps() const;
  [[noreturn]] void fail_bytes() const;

  std::string what_;
  BudgetLimits limits_;
  std::shared_ptr<const CancelFlag> cancel_;
  std::chrono::steady_clock::time_point start_;
  uint64_t steps_left_, bytes_left_;
  uint64_t until_poll_ = 0;
};

}  // namespace lancet
