// Any bytes as a template: compiled or refused with a place.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "jinja/template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lancet::Budget budget("compiling the chat template", {.steps = 1'000'000});
  try {
    lancet::JinjaTemplate(std::string_view(reinterpret_cast<const char*>(data), size), budget);
  } catch (const lancet::Error&) {}
  return 0;
}
