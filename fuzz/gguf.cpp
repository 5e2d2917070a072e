// A GGUF file from a stranger: container, configuration, vocabulary, tensors.
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "checkpoint/gguf_names.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lancet;
  Budget budget("fuzzing", {.steps = 10'000'000});
  try {
    std::vector<GgufFile> parts;
    parts.emplace_back(std::as_bytes(std::span(data, size)), "fuzz.gguf", budget);
    ModelConfig config = read_gguf_config(parts.front());
    read_gguf_vocabulary(read_gguf_vocabulary_fields(parts.front()), "fuzz.gguf", budget);
    select_tensors(config, name_gguf(parts, config, budget));
  } catch (const Error&) {}
  return 0;
}
