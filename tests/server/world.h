// A server on a free port with HashModel behind it.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "engine/engine_thread.h"
#include "http_client.h"
#include "server/server.h"
#include "support/hash_model.h"

namespace lancet::test {

/// Lets engine steps through one by one, or all of them.
class Gate {
 public:
  void pass(int steps) {
    const std::lock_guard lock(mutex_);
    allowed_ += steps;
    changed_.notify_all();
  }
  void open() { pass(1 << 29); }
  /// The engine's side: waits for permission.
  void enter() {
    std::unique_lock lock(mutex_);
    entered_++;
    changed_.notify_all();
    changed_.wait(lock, [this] { return allowed_ > 0; });
    allowed_--;
  }
  /// Until the engine has come to the gate this many times.
  void wait_entered(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return entered_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int allowed_ = 0, entered_ = 0;
};

struct World {
  struct Options {
    ServerOptions server;
    EngineOptions engine{.blocks = 256};
    Vocabulary vocabulary = byte_vocabulary(300);
    std::string chat_template =
        "{% for message in messages %}{{ bos_token }}{{ message.role }}: {{ message.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}";
    bool gated = false;
    bool loaded = true;
    std::function<void(int, const Batch&)> before_step;
  };

  explicit World(Options options) : World(std::move(options), 0) {}
  World() : World(Options{}, 0) {}
  ~World() { gate.open(); }

  Gate gate;
  HashModel model{300, 4096};
  Tokenizer tokenizer;
  std::string template_text;
  ChatTemplate chat_template;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<EngineThread> thread;
  std::unique_ptr<Server> server;

  Service service() {
    return {.engine = thread.get(),
            .tokenizer = &tokenizer,
            .chat_template = &chat_template,
            .model_name = "test/hash-model",
            .system_fingerprint = "fp_test",
            .created = 1'700'000'000,
            .chat_template_text = template_text};
  }
  uint16_t port() const { return server->port(); }
  Reply call(std::string_view bytes) { return HttpClient(port()).call(bytes); }
  Reply post(std::string_view path, std::string_view body) { return call(HttpClient::post(path, body)); }
  Reply get(std::string_view path) { return call(HttpClient::get(path)); }

  /// Waits until the engine's numbers say so (they are renewed at each step); false after ten seconds.
  bool until(const std::function<bool(const EngineStats&)>& met) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!met(thread->stats())) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }

 private:
  World(Options options, int)
      : tokenizer(options.vocabulary),
        template_text(options.chat_template),
        chat_template(options.chat_template, "<s>", "</s>") {
    model.before_step = [this, gated = options.gated, inner = options.before_step](int step, const Batch& batch) {
      if (gated) gate.enter();
      if (inner) inner(step, batch);
    };
    engine = std::make_unique<Engine>(model, tokenizer, options.engine);
    thread = std::make_unique<EngineThread>(*engine);
    options.server.port = 0;
    server = std::make_unique<Server>(options.server);
    if (options.loaded) server->serve(service());
  }
};

}  // namespace lancet::test
