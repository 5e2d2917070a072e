#include "server/wake_queue.h"

#include "server/session.h"

namespace lancet {
namespace {

constexpr int kAtOnce = 16;  // some hundred microseconds of work

}  // namespace

void WakeQueue::open(boost::asio::io_context& io) {
  const std::lock_guard lock(mutex_);
  io_ = &io;
}

void WakeQueue::close() {
  const std::lock_guard lock(mutex_);
  io_ = nullptr;
  queue_.clear();
}

void WakeQueue::push(std::shared_ptr<Waker> waker) {
  const std::lock_guard lock(mutex_);
  if (!io_) return;
  queue_.push_back(std::move(waker));
  if (posted_) return;
  boost::asio::post(*io_, [this] { serve_some(); });
  posted_ = true;
}

std::shared_ptr<Waker> WakeQueue::pop() {
  const std::lock_guard lock(mutex_);
  if (queue_.empty()) return nullptr;
  std::shared_ptr<Waker> first = std::move(queue_.front());
  queue_.pop_front();
  return first;
}

void WakeQueue::serve_some() {
  // Also when a handler throws: the others still wait.
  struct Again {
    WakeQueue& queue;
    ~Again() { queue.post_again(); }
  };
  const Again again{*this};
  for (int i = 0; i < kAtOnce; i++) {
    const std::shared_ptr<Waker> waker = pop();
    if (!waker) return;
    waker->run();
  }
}

/// Behind everything that is ready by now. Without memory for it, the next push posts.
void WakeQueue::post_again() noexcept {
  const std::lock_guard lock(mutex_);
  posted_ = false;
  if (!io_ || queue_.empty()) return;
  try {
    boost::asio::post(*io_, [this] { serve_some(); });
    posted_ = true;
  } catch (const std::exception&) {
    posted_ = false;
  }
}

}  // namespace lancet
