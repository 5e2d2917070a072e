// Bytes -> HttpRequest, one message at a time. Boost.Beast reads the header, given whole; what it lets pass but two
// servers in a row could read differently (request smuggling) is refused here. Bodies are read here too: Beast 1.81
// aborts on a last chunk that arrives in pieces (an assertion in basic_parser::parse_chunk_header, found by fuzzing).
// No sockets: tests and the fuzzer feed it strings.
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
  /// Valid from State::body on, with its body from State::complete on. Fields in a trailer are read and dropped.
  HttpRequest& request() { return request_; }
  /// Of the body (or its current chunk), yet to come. Valid in State::body.
  uint64_t announced_bytes() const { return remaining_bytes_; }
  bool keep_alive() const { return keep_alive_; }
  const HttpRefusal& refusal() const { return refusal_; }

 private:
  struct Beast;
  State refuse(int status, std::string message);
  bool header_is_whole(std::string_view buffer);
  State on_header();
  void feed_chunks(std::string_view& bytes);
  void take_body(std::string_view& bytes);
  void begin_chunk(std::string_view line);
  std::optional<std::string_view> take_line(std::string_view& bytes);
  enum class BodyPart { fixed, size_line, data, data_end, trailer };

  const ServerLimits limits_;
  std::unique_ptr<Beast> beast_;
  size_t scanned_bytes_ = 0;  // of the header, looked at by header_is_whole()
  BodyPart part_ = BodyPart::fixed;
  uint64_t remaining_bytes_ = 0;  // of the body or the chunk
  size_t trailer_bytes_ = 0;
  State state_ = State::header;
  HttpRequest request_;
  HttpRefusal refusal_;
  bool keep_alive_ = false;
};

}  // namespace lancet
