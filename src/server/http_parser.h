// Bytes -> HttpRequest, one message at a time. Boost.Beast reads the syntax; what it lets pass but two servers in a row
// could read differently (request smuggling) is refused here. No sockets: tests and the fuzzer feed it strings.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/http.h"
#include "server/limits.h"

namespace lancet {

/// Why a message was refused. The connection cannot be used any further: where the message ends is not known.
struct HttpRefusal {
  int status = 400;
  std::string message;
};

class HttpParser {
 public:
  explicit HttpParser(const ServerLimits&);
  ~HttpParser();

  enum class State { header, body, complete, refused };

  /// Takes bytes from the front of `buffer` until the header ends, the message ends, or more bytes are needed. Stops
  /// once after the header, so that the caller can look at it (Expect, limits) before the body is read.
  State feed(std::string& buffer);

  State state() const { return state_; }
  /// Valid from State::body on; its body from State::complete on. Fields in a trailer are read and dropped.
  HttpRequest& request() { return request_; }
  bool keep_alive() const { return keep_alive_; }
  const HttpRefusal& refusal() const { return refusal_; }

 private:
  struct Beast;
  State refuse(int status, std::string message);
  bool header_is_whole(std::string_view buffer);
  State on_header();

  const ServerLimits limits_;
  std::unique_ptr<Beast> beast_;
  size_t scanned_bytes_ = 0;  // of the header, looked at by header_is_whole()
  State state_ = State::header;
  HttpRequest request_;
  HttpRefusal refusal_;
  bool keep_alive_ = false;
};

}  // namespace lancet
