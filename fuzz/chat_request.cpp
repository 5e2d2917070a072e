// A request body from a stranger. The first byte chooses the route.
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "server/errors.h"
#include "server/fields.h"
#include "server/requests.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const lancet::ServerLimits limits;
  lancet::Budget budget("fuzzing", {.steps = 10'000'000});
  constexpr int kVocabulary = 1000;
  try {
    switch (data[0]) {
      case 'c': lancet::ignored_header(lancet::read_chat_request(body, limits, budget).fields.ignored); break;
      case 'p': lancet::read_completion_request(body, kVocabulary, limits, budget); break;
      case 't': lancet::read_tokenize_request(body, limits, budget); break;
      default: lancet::read_detokenize_request(body, kVocabulary, limits, budget);
    }
  } catch (const lancet::Error& error) {
    lancet::error_response(error);
  }
  return 0;
}
