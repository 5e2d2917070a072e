// Header lines of a hub's answer, each read in every way that a header is.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "hub/http_headers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lancet;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  HubResponse response;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    read_header_line(line, response);
    read_hub_header(line, response);
    if (response.status < 0 || response.status > 999) std::abort();
  }
  for (const auto& [name, value] : response.headers) {
    if (const auto range = parse_content_range(value); range && (range->first > range->last)) std::abort();
    if (const auto wait = parse_retry_after(value, 1'700'000'000); wait && *wait < 0) std::abort();
    normalised_etag(value);
  }
  return 0;
}
