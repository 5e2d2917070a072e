#include "engine/engine_thread.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "engine/channel.h"

namespace lancet {

struct EngineThread::State {
  explicit State(Engine& e) : engine(e), stats(e.stats()) {}

  void loop();

  Engine& engine;  // touched by the thread only, but for check() and context(), which never change
  struct Entry {
    GenerationRequest request;
    std::shared_ptr<Channel> channel;
  };
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Entry> inbox;  // guarded by mutex
  int64_t inbox_tokens = 0;  // guarded by mutex: of the inbox's prompts
  EngineStats stats;         // guarded by mutex: as of the last step; waiting includes what was taken since
  bool stopping = false;     // guarded by mutex
  std::atomic<std::chrono::steady_clock::time_point> step_began = {};  // zero: no step runs
  std::jthread thread;                                                 // last: joined before the fields above go
};

EngineThread::EngineThread(Engine& engine) : state_(std::make_unique<State>(engine)) {
  state_->thread = std::jthread([state = state_.get()] { state->loop(); });
}

EngineThread::~EngineThread() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->changed.notify_one();
  state_->thread.join();
  state_->engine.fail_all("the server is stopping");
  for (const State::Entry& entry : state_->inbox)
    entry.channel->send(Failed{Fault::unavailable, "the server is stopping"});
}

Generation EngineThread::submit(GenerationRequest request) {
  state_->engine.check(request);
  auto channel = std::make_shared<Channel>(request.on_event);
  {
    const std::lock_guard lock(state_->mutex);
    const auto prompt = request.prompt.size();
    state_->engine.check_room(prompt, state_->stats.waiting + static_cast<int>(state_->inbox.size()),
                              state_->stats.waiting_tokens + state_->inbox_tokens);
    state_->inbox.push_back({std::move(request), channel});
    state_->inbox_tokens += static_cast<int64_t>(prompt);
  }
  state_->changed.notify_one();
  return Generation(std::move(channel));
}

EngineStats EngineThread::stats() const {
  const std::lock_guard lock(state_->mutex);
  EngineStats stats = state_->stats;
  stats.waiting += static_cast<int>(state_->inbox.size());
  stats.waiting_tokens += state_->inbox_tokens;
  return stats;
}

std::chrono::milliseconds EngineThread::step_age() const {
  using namespace std::chrono;
  const auto began = state_->step_began.load();
  if (began == steady_clock::time_point{}) return milliseconds(0);
  return duration_cast<milliseconds>(steady_clock::now() - began);
}

std::string EngineThread::dump() const { return state_->engine.dump(); }

int EngineThread::context() const { return state_->engine.context(); }

void EngineThread::State::loop() {
  bool idle = true;
  while (true) {
    std::vector<Entry> taken;
    {
      std::unique_lock lock(mutex);
      if (idle) changed.wait(lock, [this] { return stopping || !inbox.empty(); });
      if (stopping) return;
      taken.swap(inbox);
      // Until the step's numbers come, or submit would let more in.
      stats.waiting += static_cast<int>(taken.size());
      stats.waiting_tokens += std::exchange(inbox_tokens, 0);
    }
    for (Entry& entry : taken) engine.enqueue(std::move(entry.request), std::move(entry.channel));
    step_began = std::chrono::steady_clock::now();
    idle = !engine.step();
    step_began = std::chrono::steady_clock::time_point{};
    const EngineStats now = engine.stats();
    const std::lock_guard lock(mutex);
    stats = now;
  }
}

}  // namespace lancet
