// What a handler gives back: a whole response, or an answer that is still being made.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "base/budget.h"
#include "server/http.h"
#include "server/metrics.h"
#include "server/server.h"

namespace lancet {

/// What the log says of an answer.
struct AnswerFacts {
  std::string reason;                                                 // a finish reason or an error's code
  int prompt_tokens = -1, cached_tokens = -1, generated_tokens = -1;  // -1: unknown
};

/// What became ready. Exactly one Output of an answer has a head, and nothing comes before it.
struct Output {
  std::optional<HttpResponse> head;  // a streamed answer's head has no body
  std::string bytes;                 // of a stream, after the head
  bool finished = false;
  bool broken = false;  // finished by an error inside the stream: the connection is closed
  AnswerFacts facts;    // with finished
};

/// An answer in the making. One thread at a time; destroying it cancels what still runs.
class RunningAnswer {
 public:
  virtual ~RunningAnswer() = default;
  /// Everything that is ready now; never waits. Not called again after `finished`.
  virtual Output poll() = 0;
  /// Called when the client has heard nothing for a while: what to send so that it does not give up.
  virtual Output keep_alive() = 0;
  /// The server stops: the last words.
  virtual Output abort(const Error&) = 0;
};

using Answer = std::variant<HttpResponse, std::unique_ptr<RunningAnswer>>;

/// What the server is doing.
struct ServerStatus {
  bool loaded = false, draining = false;
  bool sleeping = false;  // unloaded until the next request; or being loaded for one
  double progress = 0;    // of loading, [0, 1]
  std::string what;       // that loading does now
  std::string model;      // the name, known from the first loading on
  std::string problem;    // why this process should be restarted; empty: it need not be
  const ServerOptions& options;
  const ServerMetrics& metrics;
};

/// All that a handler knows. Handlers run on a worker thread.
struct RequestContext {
  const Service& service;
  const ServerLimits& limits;
  const HttpRequest& request;
  const ServerStatus* server = nullptr;  // for routes with Route::before_ready, whose service may be empty
  uint64_t owner = 0;  // whose request it is, for fair shares: a hash of the API key, else of the address
  std::string request_id;
  std::shared_ptr<const CancelFlag> cancel;  // raised when the client has gone
  std::function<void()> wake;                // any thread: the running answer has something new
};

}  // namespace lancet
