// The client's end of a streamed answer: server-sent events out of bytes as they come, and what a chunk of
// /v1/chat/completions says. Nothing about the server is trusted.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lancet {

/// The data of events, by the event stream format of the HTML standard; names, ids and comments are skipped.
class SseReader {
 public:
  /// The events that became complete. Throws Error{too_large} for one of more than kEventBytes.
  std::vector<std::string> push(std::string_view bytes);

  static constexpr size_t kEventBytes = size_t{1} << 20;

 private:
  void end_line(std::vector<std::string>& events);

  std::string line_, data_;
  bool has_data_ = false, after_return_ = false, begun_ = false;
};

struct ChatChunk {
  std::string text;
  std::string finish_reason;  // empty: not yet
  struct Tokens {
    int prompt = 0, cached = 0, completion = 0;
  };
  std::optional<Tokens> usage;
};

/// Throws Error{unavailable} with the server's own words if the chunk is an error, Error{bad_file} if it is no chunk.
ChatChunk read_chat_chunk(std::string_view json);

/// The message of an error body of the OpenAI form, made safe to show; what the body begins with if it is none.
std::string error_message_of(std::string_view body);

}  // namespace lancet
