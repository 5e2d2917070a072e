// The table of a file of packed weights, which a folder of the user's holds and anybody may have written.
#include <cstdint>
#include <span>

#include "backend/cpu/panel_cache.h"
#include "base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lancet;
  const auto bytes = std::as_bytes(std::span(data, size));
  // As large as it says it is, which real files are, and as large as it is.
  uint64_t said = 0;
  for (size_t i = 0; i < 8 && size >= 40; i++) said |= uint64_t{data[32 + i]} << (8 * i);
  for (const uint64_t file_bytes : {said, uint64_t{size}}) {
    try {
      const PanelIndex index = read_panel_index(bytes, file_bytes, "fuzz.panels");
      if (panel_data_offset(index) + index.image_bytes() != file_bytes) __builtin_trap();
    } catch (const Error&) {}
  }
  return 0;
}
