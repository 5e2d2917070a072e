// Any sequence of roles and texts through a strict and a loose template: a prompt or a refusal that names a message,
// and never a trusted byte from the conversation (every text holds the byte 0x01, which no template here writes).
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "text/chat.h"

namespace {

constexpr const char* kStrict =
    "{{ bos_token }}{% set s = namespace(n=0) %}{% if messages[0].role == 'system' %}[S]{{ messages[0].content }}[/S]"
    "{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}{% if tools %}{{ tools|tojson }}{% "
    "endif %}"
    "{% for m in rest %}{% if m.role == 'user' or (m.role == 'assistant' and not m.tool_calls) %}"
    "{% if (m.role == 'user') != (s.n % 2 == 0) %}{{ raise_exception('order') }}{% endif %}{% set s.n = s.n + 1 %}{% "
    "endif %}"
    "{% if m.role == 'user' %}[I]{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
    "{{ p.text if p.type == 'text' else '[IMG]' }}{% endfor %}{% endif %}[/I]{% elif m.role == 'assistant' %}{{ "
    "m.content }}"
    "{% for c in m.tool_calls or [] %}[C]{{ c.function.name }}[A]{{ c.function.arguments if c.function.arguments is "
    "string "
    "else c.function.arguments|tojson }}{% endfor %}{{ eos_token }}{% elif m.role == 'tool' %}[R]{{ m.content }}[/R]"
    "{% else %}{{ raise_exception('role ' + m.role) }}{% endif %}{% endfor %}";
constexpr const char* kLoose =
    "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}{% if add_generation_prompt %}"
    "<|start|>assistant\n{% endif %}";

/// Takes the input apart: one byte says what comes next, up to the next byte below 32 is its text.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), end_(data + size) {}
  bool empty() const { return data_ == end_; }
  uint8_t byte() { return empty() ? uint8_t{0} : *data_++; }
  std::string text() {
    std::string result = "\x01";
    while (!empty() && *data_ >= 32) result += static_cast<char>(*data_++);
    return result;
  }

 private:
  const uint8_t* data_;
  const uint8_t* end_;
};

lancet::ChatMessage message_of(Input& input) {
  constexpr const char* kRoles[] = {"system", "developer", "user", "user", "assistant", "assistant", "tool", ""};
  lancet::ChatMessage message;
  const uint8_t kind = input.byte();
  message.role = kRoles[kind % 8];
  if (message.role.empty()) message.role = input.text();
  if (kind & 8) message.content.push_back({lancet::ContentPart::Kind::text, input.text()});
  if (kind & 16) {
    message.content_is_list = true;
    message.content.push_back({lancet::ContentPart::Kind::text, input.text()});
    if (kind & 32) message.content.push_back({lancet::ContentPart::Kind::image, ""});
  }
  if (message.role == "assistant" && (kind & 64))
    message.tool_calls.push_back({input.text(), input.text(), input.text()});
  if (message.role == "assistant" && (kind & 128)) message.tool_calls.push_back({"", input.text(), "{\"\\u0001\": 1}"});
  return message;
}

void try_template(const lancet::ChatTemplate& compiled, const lancet::Conversation& conversation) {
  lancet::Budget budget("the chat template", {.steps = 1'000'000});
  try {
    const lancet::RenderedPrompt prompt = compiled.render(conversation, budget);
    for (const lancet::PromptPiece& piece : prompt.pieces)
      CHECK(!piece.trusted || piece.text.find('\x01') == std::string::npos);
  } catch (const lancet::Error& error) {
    CHECK(error.fault() != lancet::Fault::bad_request || error.param().starts_with("messages"));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const lancet::ChatTemplate strict(kStrict, "<s>", "</s>"), loose(kLoose, "", "");
  Input input(data, size);
  lancet::Conversation conversation;
  while (!input.empty() && conversation.messages.size() < 64) conversation.messages.push_back(message_of(input));
  try_template(strict, conversation);
  try_template(loose, conversation);
  return 0;
}
