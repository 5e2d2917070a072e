// The channel between the engine and the caller of one request.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

#include "base/budget.h"
#include "engine/generation.h"

namespace lancet {

/// Any thread. What it holds is bounded by the request's max_tokens.
class Channel {
 public:
  explicit Channel(std::function<void()> on_event) : on_event_(std::move(on_event)) {}

  // The engine's end.
  /// A final event closes the channel; later events are a bug. Throws std::bad_alloc, but never for a final event: its
  /// place is kept. What on_event throws is dropped: the engine cannot answer for it.
  void send(GenerationEvent);
  bool cancelled() const { return cancelled_.raised(); }

  // The caller's end.
  std::optional<GenerationEvent> receive(std::chrono::milliseconds patience);
  void cancel() { cancelled_.raise(); }

 private:
  bool empty() const { return events_.empty() && !final_; }

  const std::function<void()> on_event_;
  CancelFlag cancelled_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<GenerationEvent> events_;    // guarded by mutex_
  std::optional<GenerationEvent> final_;  // guarded by mutex_
  bool closed_ = false;                   // guarded by mutex_
};

}  // namespace lancet
