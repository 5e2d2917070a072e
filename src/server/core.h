// What all connections share. Included by server.cpp and session.cpp only.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "server/asio_config.h"
#include "server/http.h"
#include "server/server.h"

namespace lancet {

class Session;

/// Outlives every session. All functions: any thread.
class ServerCore {
 public:
  explicit ServerCore(ServerOptions options)
      : options(std::move(options)), workers(static_cast<size_t>(std::max(1, this->options.worker_threads))) {}

  const ServerOptions options;
  boost::asio::thread_pool workers;

  void set_progress(double done, std::string what);
  void serve(Service);
  void drain() { draining_ = true; }
  bool draining() const { return draining_; }
  /// Null until the model is loaded.
  std::shared_ptr<const Service> service() const;
  /// 503 with what is going on; /health gets the details, others an error object.
  HttpResponse not_serving(bool health) const;

  /// False: there are as many as are allowed.
  bool add(const std::shared_ptr<Session>&);
  void remove(const Session*);
  std::vector<std::shared_ptr<Session>> sessions() const;
  /// True: the last one has gone in time.
  bool wait_for_sessions(std::chrono::milliseconds);

 private:
  mutable std::mutex mutex_;
  std::condition_variable all_gone_;
  std::unordered_map<const Session*, std::weak_ptr<Session>> sessions_;
  std::shared_ptr<const Service> service_;
  double progress_ = 0;
  std::string what_ = "starting";
  std::atomic<bool> draining_ = false;
};

}  // namespace lancet
