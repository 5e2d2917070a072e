// A model's configuration from a stranger. The first byte chooses: even config.json, odd params.json.
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "checkpoint/config_readers.h"
#include "checkpoint/tensor_set.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  lancet::Budget budget("fuzzing", {.steps = 10'000'000});
  try {
    const auto config = data[0] % 2 ? lancet::read_params_json(text, "params.json", budget)
                                    : lancet::read_config_json(text, "config.json", budget);
    lancet::wanted_tensors(config.model);
  } catch (const lancet::Error&) {}
  return 0;
}
