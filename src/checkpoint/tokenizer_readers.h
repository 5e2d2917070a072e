// Tokenizer files -> Vocabulary. Each throws Error{bad_file} (names the part at fault) or {unsupported} (names the
// tokenizer part that Lancet does not have, for instance the pre-tokenizer's pattern).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/budget.h"
#include "checkpoint/vocabulary.h"

namespace lancet {

/// Hugging Face tokenizer.json. bos, eos and padding are not in it: set_special_ids fills them from the other files.
Vocabulary read_tokenizer_json(std::string_view text, const std::string& source, Budget&);

/// Mistral tekken.json: complete by itself.
Vocabulary read_tekken(std::string_view text, const std::string& source, Budget&);

/// What a GGUF says under tokenizer.ggml.*; views into the mapped file.
struct GgufVocabularyFields {
  std::string model, pre;  // "gpt2", "tekken"
  std::vector<std::string_view> tokens, merges;
  std::vector<int32_t>
      token_types;  // empty or parallel to tokens; 1 normal, 2 unknown, 3 control, 4 user, 5 unused, 6 byte
  std::optional<int64_t> bos = {}, eos = {}, eot = {}, unknown = {}, padding = {};
  std::optional<bool> add_bos = {};
};
Vocabulary read_gguf_vocabulary(const GgufVocabularyFields&, const std::string& source, Budget&);

/// Fills bos, eos, padding, end_of_generation of a Hugging Face vocabulary from the texts of generation_config.json
/// and tokenizer_config.json (either may be empty). Ids outside the vocabulary are refused.
void set_special_ids(Vocabulary&, std::string_view generation_config, std::string_view tokenizer_config, Budget&);

}  // namespace lancet
