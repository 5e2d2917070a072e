// Sessions that the engine has news for. A step of a thousand streams wakes a thousand of them; served a few at a time,
// with the sockets looked at in between, they never keep a probe or a new request waiting.
#pragma once

#include <deque>
#include <memory>
#include <mutex>

#include "server/asio_config.h"

namespace lancet {

class Waker;

/// Any thread.
class WakeQueue {
 public:
  /// Until then, and after close(), what is pushed is forgotten. The context outlives the time until close().
  void open(boost::asio::io_context& io);
  void close();
  /// Its run() will be called on a network thread.
  void push(std::shared_ptr<Waker>);

 private:
  std::shared_ptr<Waker> pop();
  void serve_some();
  void post_again() noexcept;

  std::mutex mutex_;
  boost::asio::io_context* io_ = nullptr;  // guarded by mutex_, as the rest
  std::deque<std::shared_ptr<Waker>> queue_;
  bool posted_ = false;
};

}  // namespace lancet
