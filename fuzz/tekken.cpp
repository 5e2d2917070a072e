// Any bytes as tekken.json: a vocabulary that a Tokenizer accepts, or an Error.
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "checkpoint/tokenizer_readers.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  lancet::Budget budget("fuzzing", {.steps = 10'000'000});
  try {
    lancet::Vocabulary vocabulary = lancet::read_tekken(text, "tekken.json", budget);
    const lancet::Tokenizer tokenizer(std::move(vocabulary));
    const lancet::Encoded encoded = tokenizer.encode(text, true, budget);
    tokenizer.decode(encoded.ids, true);
  } catch (const lancet::Error&) {}
  return 0;
}
