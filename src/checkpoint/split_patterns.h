// How files name the pre-tokenizers that Lancet has: regular expressions in tokenizer.json and tekken.json, short
// names in GGUF. What is not in these tables is refused at load; a pattern from a file is never executed.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "checkpoint/vocabulary.h"

namespace lancet {

/// The pattern that this regular expression is, compared as text.
std::optional<SplitPattern> pattern_of_regex(std::string_view regex);

/// What tokenizer.ggml.pre says.
struct GgufPattern {
  std::string_view name;
  SplitPattern pattern;
  bool ignore_merges;  // GGUF has no field for it: llama.cpp derives it from the name, and so must we
  bool add_bos;        // unless tokenizer.ggml.add_bos_token says otherwise
};
const GgufPattern* find_gguf_pattern(std::string_view name);
/// The usual name of a pattern.
const GgufPattern* find_gguf_pattern(SplitPattern, bool ignore_merges);
/// All names, comma-separated, for messages.
std::string gguf_pattern_names();

}  // namespace lancet
