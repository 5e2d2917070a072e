// What `lancet chat` reads that others wrote: a server's event stream, saved conversations, the history, and any text
// on its way to the terminal. The first byte chooses.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"
#include "cli/chat_lines.h"
#include "cli/chat_transcript.h"
#include "cli/line_history.h"
#include "cli/sse_reader.h"
#include "cli/terminal_text.h"

namespace {

/// In one piece and byte by byte: the same events, and each is read as a chunk.
void stream(std::string_view bytes) {
  lancet::SseReader whole, single;
  const auto events = whole.push(bytes);
  std::vector<std::string> again;
  for (size_t i = 0; i < bytes.size(); i++)
    for (std::string& event : single.push(bytes.substr(i, 1))) again.push_back(std::move(event));
  CHECK(events == again);
  for (const std::string& event : events) lancet::read_chat_chunk(event);
}

void lines(std::string_view text) {
  lancet::LineAssembly assembly;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (!assembly.open()) lancet::chat_command(line);
    assembly.add(line);
  }
  assembly.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    switch (data[0]) {
      case 's': stream(text); break;
      case 't':
        CHECK(lancet::read_transcript(lancet::transcript_json(lancet::read_transcript(text, "t")), "t").size() <= size);
        break;
      case 'h': lancet::read_history(text); break;
      case 'l': lines(text); break;
      case 'e': lancet::error_message_of(text); break;
      default: CHECK(lancet::utf8_valid(lancet::terminal_text(text)));
    }
  } catch (const lancet::Error&) {}
  return 0;
}
