// What a handler gives back: a whole response, or an answer that is still being made.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "base/budget.h"
#include "server/http.h"
#include "server/server.h"

namespace lancet {

/// What became ready. Exactly one Output of an answer has a head, and nothing comes before it.
struct Output {
  std::optional<HttpResponse> head;  // a streamed answer's head has no body
  std::string bytes;                 // of a stream, after the head
  bool finished = false;
  bool broken = false;  // finished by an error inside the stream: the connection is closed
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

/// All that a handler knows. Handlers run on a worker thread.
struct RequestContext {
  const Service& service;
  const ServerLimits& limits;
  const HttpRequest& request;
  uint64_t owner = 0;  // whose request it is, for fair shares: a hash of the API key, else of the address
  std::string request_id;
  std::shared_ptr<const CancelFlag> cancel;  // raised when the client has gone
  std::function<void()> wake;                // any thread: the running answer has something new
};

}  // namespace lancet
