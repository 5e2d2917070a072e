// What all connections share. Included by server.cpp, session.cpp and core.cpp only.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "server/access.h"
#include "server/answer.h"
#include "server/asio_config.h"
#include "server/http.h"
#include "server/server.h"
#include "server/service_holder.h"
#include "server/wake_queue.h"

namespace lancet {

class Session;

/// Outlives every session. All functions: any thread.
class ServerCore {
 public:
  explicit ServerCore(ServerOptions);

  const ServerOptions options;
  const Access access;
  ServerMetrics metrics;
  boost::asio::thread_pool workers;
  ServiceHolder holder;
  WakeQueue wakes;

  void drain() { draining_ = true; }
  bool draining() const { return draining_; }
  /// Why this process should be restarted; empty if it need not be.
  std::string health_problem() const;
  /// 503 for a request that cannot be served now: loading or draining.
  HttpResponse not_serving() const;
  ServerStatus status() const;

  /// False: there are as many as are allowed, in all or of this address.
  bool add(const std::shared_ptr<Session>&, uint64_t address, bool loopback);
  void remove(const Session*, uint64_t address);
  std::vector<std::shared_ptr<Session>> sessions() const;
  /// Connections are no longer taken. True: the last one has gone in time.
  bool wait_for_sessions(std::chrono::milliseconds);
  void close_door();

  /// Requests that are being answered, for draining.
  void count_answer(int change);
  bool wait_for_answers(std::chrono::milliseconds);

  /// Work for the worker threads that has not begun; false: there is too much of it.
  bool queue_work();
  void work_began() { queued_work_--; }

  /// Bodies in memory. False: these bytes are too many now.
  bool hold_bytes(size_t bytes);
  bool has_room_for(uint64_t bytes) const { return held_bytes_ + bytes <= options.limits.buffered_bytes; }
  void release_bytes(size_t bytes) { held_bytes_ -= bytes; }

  /// About once a second, `since` the last time: watches the engine, puts it to sleep.
  void tick(std::chrono::duration<double> since);

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_map<const Session*, std::weak_ptr<Session>> sessions_;
  std::unordered_map<uint64_t, size_t> addresses_;  // connections of each
  int answers_ = 0;
  bool door_closed_ = false;
  std::atomic<bool> draining_ = false;
  std::atomic<size_t> queued_work_ = 0, held_bytes_ = 0;  // sums only
  std::atomic<double> step_s_ = 0;  // how long the engine's step has been running, in time that we were awake
  bool dumped_ = false;             // tick() only
};

/// A body's share of ServerLimits::buffered_bytes.
class HeldBytes {
 public:
  explicit HeldBytes(ServerCore& core) : core_(core) {}
  ~HeldBytes() { core_.release_bytes(bytes_); }
  HeldBytes(const HeldBytes&) = delete;
  /// False: too many now.
  bool grow_to(size_t bytes) {
    if (bytes <= bytes_) return true;
    const size_t more = bytes - bytes_;
    bytes_ = bytes;
    return core_.hold_bytes(more);
  }

 private:
  ServerCore& core_;
  size_t bytes_ = 0;
};

}  // namespace lancet
