// Where the service lives: loading, ready, asleep (unloaded because nobody asked for a while), or loading again.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "server/http.h"
#include "server/server.h"

namespace lancet {

/// All functions: any thread.
class ServiceHolder {
 public:
  /// Gets the service, or null and why there is none.
  using Ready = std::function<void(std::shared_ptr<const Service>, const std::string& failure)>;
  /// Runs a function on a worker thread.
  using Run = std::function<void(std::function<void()>)>;
  enum class State { loading, ready, asleep, waking };

  /// `grammar_cache_bytes`: of compiled constraints, for each service.
  ServiceHolder(double sleep_after_s, size_t grammar_cache_bytes, Run run)
      : sleep_after_s_(sleep_after_s), grammar_cache_bytes_(grammar_cache_bytes), run_(std::move(run)) {}

  void set_progress(double done, std::string what);
  void serve(Service);
  void set_loader(std::function<Service()>);

  State state() const;
  /// Null while loading and asleep. Who keeps it keeps the model awake.
  std::shared_ptr<const Service> get() const;
  /// What a GET answers while the service sleeps: nothing if it does not, or for a path that is not about models.
  std::optional<HttpResponse> asleep_answer(std::string_view path) const;
  std::string model_name() const;
  double progress() const;
  std::string what() const;

  /// Calls `ready` once: at once on this thread if the service is there, else on a worker thread after it was loaded
  /// again. The caller bounds how many wait.
  void acquire(Ready ready);

  /// To be called about once a second: puts the service to sleep when it is time.
  void tick(std::chrono::steady_clock::time_point now);

 private:
  void load_again();
  void remember_models();

  const double sleep_after_s_;
  const size_t grammar_cache_bytes_;
  const Run run_;
  mutable std::mutex mutex_;  // guards all below
  State state_ = State::loading;
  std::shared_ptr<const Service> service_;
  std::function<Service()> loader_;
  std::vector<Ready> waiting_;
  std::chrono::steady_clock::time_point last_use_;
  std::string model_name_;
  std::vector<std::pair<std::string, HttpResponse>> models_;  // path, answer
  double progress_ = 0;
  std::string what_ = "starting";
};

}  // namespace lancet
