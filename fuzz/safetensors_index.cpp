// A model.safetensors.index.json from a stranger.
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lancet::Budget budget("fuzzing", {.steps = 10'000'000});
  try {
    lancet::read_safetensors_index({reinterpret_cast<const char*>(data), size}, "fuzz.index.json", budget);
  } catch (const lancet::Error&) {}
  return 0;
}
