// A safetensors file from a stranger: container, names, scales, and the comparison with a small architecture.
#include <cstdint>
#include <span>

#include "base/error.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_names.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lancet;
  Budget budget("fuzzing", {.steps = 10'000'000});
  SafetensorsConfig config;
  config.model.text = {.layers = 1,
                       .hidden = 16,
                       .heads = 2,
                       .kv_heads = 1,
                       .head_width = 8,
                       .ffn = 16,
                       .vocabulary = 260,
                       .context = 64,
                       .norm_epsilon = 1e-5,
                       .rope = {}};
  try {
    auto tensors = read_safetensors(std::as_bytes(std::span(data, size)), "fuzz.safetensors", budget);
    auto weights = name_safetensors(std::move(tensors), config, "fuzz.safetensors", budget);
    select_tensors(config.model, std::move(weights.inventory));
  } catch (const Error&) {}
  return 0;
}
