// Counting what connections take, and what the server says of itself.
#include "server/core.h"

#include <cmath>

#include <fmt/format.h>

#include "base/log.h"
#include "server/errors.h"
#include "server/session.h"

namespace lancet {
namespace {

// A proxy or a load generator on this machine is many clients.
constexpr size_t kLoopbackFactor = 16;

}  // namespace

ServerCore::ServerCore(ServerOptions given)
    : options(std::move(given)),
      access(options.access, options.host),
      workers(static_cast<size_t>(std::max(1, options.worker_threads))),
      holder(options.sleep_after_s, options.limits.grammar_cache_bytes,
             [this](std::function<void()> work) { boost::asio::post(workers, std::move(work)); }) {}

std::string ServerCore::health_problem() const {
  const double step_s = step_s_;
  if (step_s < options.step_stuck_s) return {};
  return fmt::format("a step of the engine has been running for {:.0f} s", step_s);
}

HttpResponse ServerCore::not_serving() const {
  if (draining_) return error_response(ApiError(503, "draining", "the server is stopping"));
  return error_response(
      ApiError(503, "model_loading",
               fmt::format("the model is still loading: {:.0f} % done, {}", holder.progress() * 100, holder.what())));
}

ServerStatus ServerCore::status() const {
  using State = ServiceHolder::State;
  const State state = holder.state();
  return {.loaded = state == State::ready,
          .draining = draining_,
          .sleeping = state == State::asleep || state == State::waking,
          .progress = std::round(holder.progress() * 100) / 100,
          .what = holder.what(),
          .model = holder.model_name(),
          .problem = health_problem(),
          .options = options,
          .metrics = metrics};
}

bool ServerCore::add(const std::shared_ptr<Session>& session, uint64_t address, bool loopback) {
  const std::lock_guard lock(mutex_);
  if (door_closed_ || sessions_.size() >= options.limits.connections) return false;
  const size_t most = options.limits.address_connections * (loopback ? kLoopbackFactor : 1);
  size_t& of_address = addresses_[address];
  if (of_address >= most) return false;
  of_address++;
  sessions_.emplace(session.get(), session);
  return true;
}

void ServerCore::remove(const Session* session, uint64_t address) {
  const std::lock_guard lock(mutex_);
  if (sessions_.erase(session) == 0) return;
  const auto found = addresses_.find(address);
  if (found != addresses_.end() && --found->second == 0) addresses_.erase(found);
  if (sessions_.empty()) changed_.notify_all();
}

std::vector<std::shared_ptr<Session>> ServerCore::sessions() const {
  std::vector<std::shared_ptr<Session>> out;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, session] : sessions_)
    if (auto alive = session.lock()) out.push_back(std::move(alive));
  return out;
}

bool ServerCore::wait_for_sessions(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, [this] { return sessions_.empty(); });
}

void ServerCore::close_door() {
  const std::lock_guard lock(mutex_);
  door_closed_ = true;
}

void ServerCore::count_answer(int change) {
  const std::lock_guard lock(mutex_);
  answers_ += change;
  if (answers_ == 0) changed_.notify_all();
}

bool ServerCore::wait_for_answers(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, [this] { return answers_ == 0; });
}

bool ServerCore::queue_work() {
  if (++queued_work_ <= static_cast<size_t>(options.limits.waiting_requests)) return true;
  queued_work_--;
  return false;
}

bool ServerCore::hold_bytes(size_t bytes) { return (held_bytes_ += bytes) <= options.limits.buffered_bytes; }

void ServerCore::tick(std::chrono::duration<double> since) {
  holder.tick(std::chrono::steady_clock::now());
  const auto service = holder.get();
  const double age =
      service && service->engine ? std::chrono::duration<double>(service->engine->step_age()).count() : 0;
  // A stopped process (SIGSTOP, a suspended laptop) ages without running: one tick adds at most about its own interval.
  const double ran = std::min(since.count(), 2 * options.tick_s);
  step_s_ = std::min(age, step_s_ + ran);
  if (step_s_ < options.step_dump_s) {
    dumped_ = false;
    return;
  }
  if (std::exchange(dumped_, true)) return;
  const EngineStats stats = service->engine->stats();
  log_error(
      fmt::format("a step of the engine has been running for {:.0f} s; before it: step {}, {} running, {} waiting ({} "
                  "tokens), {} of "
                  "{} blocks free, {:.1f} prompt tokens a second",
                  age, stats.steps, stats.running, stats.waiting, stats.waiting_tokens, stats.free_blocks,
                  stats.total_blocks, stats.prompt_tokens_s));
}

}  // namespace lancet
