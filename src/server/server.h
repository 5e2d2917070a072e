// The HTTP server: it listens before the model is loaded, answers 503 with progress until then, and serves afterwards.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine_thread.h"
#include "server/limits.h"
#include "text/chat.h"
#include "text/tokenizer.h"

namespace lancet {

struct ServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8111;  // 0: any free port
  int network_threads = 1;
  int worker_threads = 2;             // templates, tokenizing: never on a network thread, never on the engine's
  double keep_alive_comment_s = 1.0;  // between ": ping" comments while a stream has nothing to say
  ServerLimits limits;
};

/// What handlers may use. All pointers outlive the server.
struct Service {
  EngineThread* engine = nullptr;
  const Tokenizer* tokenizer = nullptr;
  const ChatTemplate* chat_template = nullptr;  // null: the model has none
  std::string model_name;                       // the one model's name, in /v1/models and x-model-resolved
  std::string system_fingerprint;               // names weights, format, build and kernel table
  int64_t created = 0;                          // Unix seconds
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
  /// No new connections; running requests are cancelled; returns when all network threads have ended.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lancet
