#include "cli/sse_reader.h"

#include <fmt/format.h>

#include "base/json.h"

namespace lancet {
namespace {
namespace json = boost::json;

constexpr int kMostTokens = 1 << 30;

json::value parse(std::string_view text) {
  Budget budget("the server's answer");
  return parse_json(text, "the server's answer", {.depth = 32, .nodes = 100'000}, budget);
}

/// A member that may be absent, null or of another form: then it says nothing.
const json::value* member(const json::value* value, std::string_view key) {
  const json::object* object = value ? value->if_object() : nullptr;
  return object ? object->if_contains({key.data(), key.size()}) : nullptr;
}

std::optional<std::string> text_of(const json::value* value) {
  const json::string* text = value ? value->if_string() : nullptr;
  if (!text) return std::nullopt;
  return std::string(text->data(), text->size());
}

int count_of(const json::value* value) {
  const int64_t* count = value ? value->if_int64() : nullptr;
  return count && *count >= 0 && *count <= kMostTokens ? static_cast<int>(*count) : 0;
}

}  // namespace

void SseReader::end_line(std::vector<std::string>& events) {
  begun_ = true;
  if (line_.empty()) {
    if (has_data_) events.push_back(std::move(data_));
    data_.clear();
    has_data_ = false;
    return;
  }
  std::string_view line = line_;
  if (line == "data" || line.starts_with("data:")) {
    line.remove_prefix(std::min<size_t>(line.size(), 5));
    if (line.starts_with(' ')) line.remove_prefix(1);
    if (has_data_) data_ += '\n';
    data_ += line;
    has_data_ = true;
  }
  line_.clear();
}

std::vector<std::string> SseReader::push(std::string_view bytes) {
  std::vector<std::string> events;
  for (const char byte : bytes) {
    const bool line_feed_of_pair = byte == '\n' && after_return_;
    after_return_ = byte == '\r';
    if (line_feed_of_pair) continue;
    if (byte == '\n' || byte == '\r') {
      end_line(events);
      continue;
    }
    if (line_.size() + data_.size() >= kEventBytes)
      throw Error(Fault::too_large, fmt::format("the server sent an event of more than {} bytes", kEventBytes));
    line_ += byte;
    if (!begun_ && line_.size() == 3) {
      begun_ = true;
      if (line_ == "\xef\xbb\xbf") line_.clear();  // a byte order mark
    }
  }
  return events;
}

ChatChunk read_chat_chunk(std::string_view text) {
  const json::value document = parse(text);
  if (!document.is_object()) throw Error(Fault::bad_file, "the server's answer is no chunk: " + quoted(text));
  if (member(&document, "error")) throw Error(Fault::unavailable, "the server says: " + error_message_of(text));
  ChatChunk chunk;
  if (const json::value* usage = member(&document, "usage"); usage && usage->is_object())
    chunk.usage = {.prompt = count_of(member(usage, "prompt_tokens")),
                   .cached = count_of(member(member(usage, "prompt_tokens_details"), "cached_tokens")),
                   .completion = count_of(member(usage, "completion_tokens"))};
  const json::value* choices = member(&document, "choices");
  if (!choices || !choices->is_array() || choices->get_array().empty()) return chunk;
  const json::value* choice = &choices->get_array()[0];
  chunk.text = text_of(member(member(choice, "delta"), "content")).value_or("");
  chunk.finish_reason = text_of(member(choice, "finish_reason")).value_or("");
  return chunk;
}

std::string error_message_of(std::string_view body) {
  try {
    const json::value document = parse(body);
    const json::value* error = member(&document, "error");
    auto message = text_of(member(error, "message"));
    if (!message) message = text_of(error);
    if (message) return quoted(*message, 400);
  } catch (const Error&) {  // not JSON: some other server
  }
  return quoted(body);
}

}  // namespace lancet
