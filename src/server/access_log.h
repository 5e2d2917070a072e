// One line of the log for each request, and its place in the metrics.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "server/answer.h"

namespace lancet {

/// The value of a W3C traceparent header if it is valid (https://www.w3.org/TR/trace-context/, version 00 or what a
/// later version must keep), else nothing.
std::optional<std::string_view> valid_traceparent(std::string_view value);

/// One connection's current request, from the end of its header to the last byte of its answer. Not thread-safe.
class AccessRecord {
 public:
  /// A connection is there, until destruction. The metrics must outlive this.
  explicit AccessRecord(ServerMetrics&);
  ~AccessRecord();
  AccessRecord(const AccessRecord&) = delete;

  /// Nothing if a request is open already. `request` is null if the message could not be read.
  void begin(const HttpRequest* request, std::string_view request_id);
  /// The response or the stream's head is decided: takes its status and adds traceparent to its fields.
  void answer(HttpResponse&);
  /// The running answer's last words.
  void finish(AnswerFacts facts);
  /// The answer was written, or (not whole) the connection ended before that. Nothing if no request is open.
  void end(bool whole);

 private:
  ServerMetrics& metrics_;
  bool open_ = false;
  std::chrono::steady_clock::time_point began_;
  std::string request_id_, method_, path_, traceparent_;
  std::string_view route_;  // of the route table
  int status_ = 0;
  AnswerFacts facts_;
};

}  // namespace lancet
