// Any bytes as text, with all four patterns: pieces cover the text, decoding gives it back, streaming agrees. The first
// byte chooses the pattern and the trust, the rest is the text.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "base/utf8.h"
#include "text/text_stream.h"
#include "text/tokenizer.h"

namespace {

/// All bytes, some merges, control and added tokens.
lancet::Vocabulary vocabulary(lancet::SplitPattern pattern) {
  lancet::Vocabulary v;
  v.pattern = pattern;
  for (int byte = 0; byte < 256; byte++) v.tokens.push_back({std::string(1, static_cast<char>(byte))});
  for (const auto& [left, right] : {std::pair{' ', ' '}, {'a', 'a'}, {'t', 'h'}, {'\n', '\n'}}) {
    v.merges.push_back({left, right, static_cast<lancet::TokenId>(v.tokens.size())});
    v.tokens.push_back({std::string{left, right}});
  }
  v.merges.push_back({257, 257, 260});
  v.tokens.push_back({"aaaa"});
  for (const char* name : {"[INST]", "</s>", "[INST"}) v.tokens.push_back({name, lancet::Token::Kind::control});
  v.tokens.push_back({"<tab>", lancet::Token::Kind::added});
  return v;
}

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using lancet::SplitPattern;
  static const lancet::Tokenizer tokenizers[] = {
      lancet::Tokenizer(vocabulary(SplitPattern::tekken)), lancet::Tokenizer(vocabulary(SplitPattern::gpt2)),
      lancet::Tokenizer(vocabulary(SplitPattern::llama3)), lancet::Tokenizer(vocabulary(SplitPattern::smollm))};
  if (size == 0) return 0;
  const lancet::Tokenizer& tokenizer = tokenizers[data[0] & 3];
  const bool trusted = data[0] & 4;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  lancet::Budget budget("fuzzing", {.steps = 64 * size + 1000});  // linear, or it is a finding
  const lancet::Encoded encoded = tokenizer.encode(text, trusted, budget);
  require(encoded.lost_bytes.empty());
  require(tokenizer.decode(encoded.ids, true) == lancet::utf8_lossy(text));
  lancet::TextStream stream;
  std::string streamed;
  for (const lancet::TokenId id : encoded.ids) {
    require(trusted || !tokenizer.is_control(id));
    streamed += stream.push(tokenizer.bytes(id));
  }
  require(streamed + stream.finish() == lancet::utf8_lossy(text));
  return 0;
}
