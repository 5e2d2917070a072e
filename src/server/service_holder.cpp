// A service may be destroyed only when nobody but the holder has it: all copies come from get() and acquire(), which
// take the lock, so a use count of one, seen under the lock, stays one.
#include "server/service_holder.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/log.h"
#include "server/grammars.h"
#include "server/routes.h"

namespace lancet {

void ServiceHolder::set_progress(double done, std::string what) {
  const std::lock_guard lock(mutex_);
  progress_ = std::clamp(done, 0.0, 1.0);
  what_ = std::move(what);
}

void ServiceHolder::serve(Service service) {
  if (!service.grammars)
    service.grammars = std::make_shared<Grammars>(*service.tokenizer, service.chat_template_text, grammar_cache_bytes_);
  auto shared = std::make_shared<const Service>(std::move(service));
  std::vector<Ready> waiting;
  {
    const std::lock_guard lock(mutex_);
    service_ = shared;
    state_ = State::ready;
    last_use_ = std::chrono::steady_clock::now();
    model_name_ = shared->model_name;
    waiting.swap(waiting_);
  }
  for (const Ready& ready : waiting) ready(shared, "");
}

void ServiceHolder::set_loader(std::function<Service()> loader) {
  const std::lock_guard lock(mutex_);
  loader_ = std::move(loader);
}

ServiceHolder::State ServiceHolder::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

std::shared_ptr<const Service> ServiceHolder::get() const {
  const std::lock_guard lock(mutex_);
  return service_;
}

std::optional<HttpResponse> ServiceHolder::asleep_answer(std::string_view path) const {
  const std::lock_guard lock(mutex_);
  if (service_) return std::nullopt;
  const auto found = std::find_if(models_.begin(), models_.end(), [&](const auto& row) { return row.first == path; });
  if (found == models_.end()) return std::nullopt;
  return found->second;
}

std::string ServiceHolder::model_name() const {
  const std::lock_guard lock(mutex_);
  return model_name_;
}

double ServiceHolder::progress() const {
  const std::lock_guard lock(mutex_);
  return progress_;
}

std::string ServiceHolder::what() const {
  const std::lock_guard lock(mutex_);
  return what_;
}

void ServiceHolder::acquire(Ready ready) {
  std::shared_ptr<const Service> service;
  bool begin = false;
  {
    const std::lock_guard lock(mutex_);
    last_use_ = std::chrono::steady_clock::now();
    if (state_ == State::ready) {
      service = service_;
    } else {
      waiting_.push_back(std::move(ready));
      begin = state_ == State::asleep;
      if (begin) state_ = State::waking;
    }
  }
  if (service) ready(std::move(service), "");
  if (begin) run_([this] { load_again(); });
}

void ServiceHolder::load_again() {
  std::string failure;
  try {
    std::function<Service()> loader;
    {
      const std::lock_guard lock(mutex_);
      loader = loader_;
    }
    const auto began = std::chrono::steady_clock::now();
    serve(loader());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    log_info(fmt::format("awake again after {:.1f} s", took.count()));
    return;
  } catch (const std::exception& exception) {
    failure = exception.what();
  }
  log_error(fmt::format("the model could not be loaded again: {}", failure));
  std::vector<Ready> waiting;
  {
    const std::lock_guard lock(mutex_);
    state_ = State::asleep;  // the next request tries again
    waiting.swap(waiting_);
  }
  for (const Ready& one : waiting) one(nullptr, failure);
}

/// Under the lock, with a service.
void ServiceHolder::remember_models() {
  models_.clear();
  const ServerLimits limits;
  for (const std::string& path : {std::string("/v1/models"), "/v1/models/" + service_->model_name,
                                  "/v1/models/" + percent_encoded(service_->model_name)}) {
    const HttpRequest request{.method = "GET", .target = path};
    Answer answer = run_route({.service = *service_, .limits = limits, .request = request});
    if (auto* response = std::get_if<HttpResponse>(&answer)) models_.emplace_back(path, std::move(*response));
  }
}

void ServiceHolder::tick(std::chrono::steady_clock::time_point now) {
  std::shared_ptr<const Service> ended;
  {
    const std::lock_guard lock(mutex_);
    if (sleep_after_s_ <= 0 || state_ != State::ready || !loader_) return;
    if (service_.use_count() > 1) last_use_ = now;
    if (std::chrono::duration<double>(now - last_use_).count() < sleep_after_s_) return;
    remember_models();
    state_ = State::asleep;
    ended = std::move(service_);
  }
  log_info(fmt::format("nobody asked for {:g} s: the model is unloaded until the next request", sleep_after_s_));
  // A model's end takes its time: joining the engine, giving back memory.
  run_([ended = std::move(ended)]() mutable { ended.reset(); });
}

}  // namespace lancet
