// The HTTP server: it listens before the model is loaded, answers 503 with progress until then, and serves afterwards.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine_thread.h"
#include "server/access.h"
#include "server/limits.h"
#include "text/chat.h"
#include "text/tokenizer.h"

namespace lancet {

class Grammars;

struct ServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8111;  // 0: any free port
  int network_threads = 1;
  int worker_threads = 2;             // templates, tokenizing: never on a network thread, never on the engine's
  double keep_alive_comment_s = 1.0;  // between ": ping" comments while a stream has nothing to say
  std::string version = {};           // of the program
  std::string commit = {};            // of its source; empty: not known
  bool vllm_metrics = false;          // /metrics has vLLM's names too
  double tick_s = 1.0;                // how often the watchdog and the sleep timer look
  double sleep_after_s = 0;           // idle time after which the model is unloaded; 0: never
  double step_dump_s = 30;            // an engine step that takes longer is told in the log, once
  double step_stuck_s = 120;          // and this long fails /livez: the supervisor restarts us
  std::string tls_certificate = {}, tls_key = {};  // PEM files; empty: no TLS
  AccessOptions access;
  ServerLimits limits;
};

/// What handlers may use.
struct Service {
  EngineThread* engine = nullptr;
  const Tokenizer* tokenizer = nullptr;
  const ChatTemplate* chat_template = nullptr;  // null: the model has none
  std::string model_name;                       // the one model's name, in /v1/models and x-model-resolved
  std::string system_fingerprint;               // names weights, format, build and kernel table
  int64_t created = 0;                          // Unix seconds
  std::string kernels = {};                     // the arithmetic in use, Backend::description()
  std::string chat_template_text = {};          // Jinja, empty if there is none
  std::string dialect = "auto";                 // of calls in texts: "auto": what a system prompt shows; "none"; a name
  std::shared_ptr<Grammars> grammars = {};      // of this tokenizer and template; the server makes them
  std::shared_ptr<void> owner = {};             // keeps what the pointers show; null: it outlives the server
};

class Server {
 public:
  /// Binds and starts answering (503 until serve()). A taken port is Error{io} in one clear sentence.
  explicit Server(ServerOptions);
  ~Server();  // stop() and wait
  uint16_t port() const;
  /// What /health says while loading: done is in [0, 1].
  void set_progress(double done, std::string what);
  /// Loading is over: from now on requests are answered.
  void serve(Service);
  /// How to make the service again after it has slept. Called on a worker thread; may throw Error.
  void set_loader(std::function<Service()>);
  /// From now on new requests get 503 draining and their connections end; what runs goes on, and probes are answered.
  void drain();
  /// True as soon as no request is being answered, false when that took longer than `patience`.
  bool wait_for_answers(std::chrono::milliseconds patience);
  /// Answers that still run get a final error, all connections end. Returns when they have, or after `patience`.
  void end_answers(std::chrono::milliseconds patience);
  /// No new connections; running requests are cancelled; returns when all network threads have ended.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lancet
