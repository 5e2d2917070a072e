// An answer with calls, whole and cut: the readers must not crash, and must say the same however the text is cut. The
// first byte chooses the form, the second where the cuts are; of the rest 0x01 to 0x04 stand for control tokens.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "text/call_reader.h"
#include "text/fenced_reader.h"
#include "text/json_fence_reader.h"

namespace lancet {
namespace {

ToolSyntax syntax_of(uint8_t form) {
  const bool control = form & 1;
  const auto marker = [&](const char* text, TokenId id) {
    return control ? Marker{text, id} : Marker{text, std::nullopt};
  };
  switch (form / 2 % 4) {
    case 0:
      return {.form = CallForm::mistral,
              .begin = marker("[TOOL_CALLS]", 1),
              .arguments = marker("[ARGS]", 2),
              .call_id = marker("[CALL_ID]", 4)};
    case 1: return {.form = CallForm::mistral_list, .begin = marker("[TOOL_CALLS]", 1), .arguments_key = "arguments"};
    case 2:
      return {.form = CallForm::hermes,
              .begin = marker("<tool_call>", 1),
              .end = marker("</tool_call>", 3),
              .arguments_key = "arguments"};
    default: return {.form = CallForm::llama, .begin = marker("<|python_tag|>", 1), .arguments_key = "parameters"};
  }
}

std::unique_ptr<AnswerReader> reader_of(uint8_t form) {
  if (form / 8 % 3 == 1)
    return std::make_unique<FencedReader>(syntax_of(form), std::vector<std::string>{"f", "read_file"});
  if (form / 8 % 3 == 2) return std::make_unique<JsonFenceReader>();
  return std::make_unique<CallReader>(syntax_of(form));
}

/// In pieces of `size` bytes; 0: as long as they can be.
AnswerEvents read(AnswerReader& reader, std::string_view text, size_t size) {
  AnswerEvents joined;
  const auto join = [&](const AnswerEvents& events) {
    for (const AnswerEvent& event : events) add_event(joined, event.kind, event.text);
  };
  while (!text.empty()) {
    AnswerEvents events;
    if (text[0] >= 1 && text[0] <= 4) {
      reader.control(text[0], events);
      text.remove_prefix(1);
    } else {
      const size_t end = std::min(text.find_first_of("\x01\x02\x03\x04"), text.size());
      const size_t taken = size == 0 ? end : std::min(end, size);
      reader.text(text.substr(0, taken), events);
      text.remove_prefix(taken);
    }
    join(events);
  }
  AnswerEvents events;
  reader.finish(false, events);
  join(events);
  return joined;
}

}  // namespace
}  // namespace lancet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto whole = lancet::reader_of(data[0]), cut = lancet::reader_of(data[0]);
  if (lancet::read(*whole, text, 0) != lancet::read(*cut, text, data[1] % 7u + 1)) std::abort();
  return 0;
}
