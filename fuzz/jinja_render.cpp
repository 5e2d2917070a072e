// Any bytes as a template, rendered over a small conversation under tight limits. The marked text must be whole: its
// runs cover it, in order, neighbours of different trust.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "jinja/template.h"

namespace {

lancet::JinjaValue theirs(std::string_view text) { return lancet::JinjaValue::string(text, false); }

lancet::JinjaTemplate::Variables variables() {
  using lancet::JinjaValue;
  std::vector<JinjaValue> messages;
  for (const char* role : {"system", "user", "assistant"}) {
    messages.push_back(JinjaValue::dict({{JinjaValue::string("role", true), theirs(role)},
                                         {JinjaValue::string("content", true), theirs("hé <b>\n x")}}));
  }
  return {{"messages", JinjaValue::list(std::move(messages))},
          {"tools", JinjaValue::none()},
          {"add_generation_prompt", JinjaValue::boolean(true)},
          {"n", JinjaValue::integer(3)},
          {"f", JinjaValue::real(2.5)},
          {"bos_token", JinjaValue::string("<s>", true)}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lancet::Budget budget("the chat template", {.steps = 50'000});
  try {
    const lancet::JinjaTemplate compiled(std::string_view(reinterpret_cast<const char*>(data), size), budget);
    const lancet::JinjaTemplate::Options options = {.limits = {.output_bytes = 1 << 16, .memory_bytes = 1 << 22},
                                                    .now = [] { return std::tm{}; }};
    const lancet::MarkedText text = compiled.render(variables(), options, budget);
    size_t end = 0;
    for (size_t i = 0; i < text.runs().size(); i++) {
      CHECK(text.runs()[i].end > end);
      CHECK(i == 0 || text.runs()[i].trusted != text.runs()[i - 1].trusted);
      end = text.runs()[i].end;
    }
    CHECK(end == text.size());
  } catch (const lancet::Error&) {}
  return 0;
}
