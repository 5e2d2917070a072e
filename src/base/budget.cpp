#include "base/budget.h"

#include <fmt/format.h>

#include "base/error.h"

namespace lancet {
namespace {
constexpr uint64_t kStepsBetweenPolls = 4096;
}

Budget::Budget(std::string what, BudgetLimits limits, std::shared_ptr<const CancelFlag> cancel)
    : what_(std::move(what)),
      limits_(limits),
      cancel_(std::move(cancel)),
      start_(std::chrono::steady_clock::now()),
      steps_left_(limits.steps),
      bytes_left_(limits.bytes) {}

void Budget::poll() {
  until_poll_ = kStepsBetweenPolls;
  if (cancel_ && cancel_->raised()) throw Error(Fault::cancelled, what_ + " was cancelled");
  if (limits_.time == std::chrono::nanoseconds::max()) return;
  if (std::chrono::steady_clock::now() - start_ > limits_.time) {
    const auto limit_ms = std::chrono::duration_cast<std::chrono::milliseconds>(limits_.time).count();
    throw Error(Fault::budget, fmt::format("{} took longer than its budget of {} ms", what_, limit_ms));
  }
}

void Budget::fail_steps() const {
  throw Error(Fault::budget, fmt::format("{} needs more than its budget of {} steps", what_, limits_.steps));
}

void Budget::fail_bytes() const {
  throw Error(Fault::budget, fmt::format("{} needs more than its budget of {} bytes", what_, limits_.bytes));
}

}  // namespace lancet
