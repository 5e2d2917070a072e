#include "checkpoint/split_patterns.h"

namespace lancet {
namespace {

struct RegexRow {
  std::string_view regex;
  SplitPattern pattern;
};

constexpr RegexRow kRegexes[] = {
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
     R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
     R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     SplitPattern::tekken},
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", SplitPattern::gpt2},
    {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", SplitPattern::gpt2},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
     R"(|\s*[\r\n]+|\s+(?!\S)|\s+)",
     SplitPattern::llama3},
};

// llama.cpp, src/llama-vocab.cpp: names that share one pattern there. Its "default" is a pattern of its own.
constexpr GgufPattern kGgufPatterns[] = {
    {"tekken", SplitPattern::tekken, true, true},    {"pixtral", SplitPattern::tekken, true, true},
    {"llama-bpe", SplitPattern::llama3, true, true}, {"llama3", SplitPattern::llama3, true, true},
    {"llama-v3", SplitPattern::llama3, true, true},  {"gpt-2", SplitPattern::gpt2, false, false},
    {"smollm", SplitPattern::smollm, false, false},  {"starcoder", SplitPattern::smollm, false, false},
    {"refact", SplitPattern::smollm, false, false},
};

}  // namespace

std::optional<SplitPattern> pattern_of_regex(std::string_view regex) {
  for (const RegexRow& row : kRegexes) {
    if (row.regex == regex) return row.pattern;
  }
  return std::nullopt;
}

const GgufPattern* find_gguf_pattern(std::string_view name) {
  for (const GgufPattern& row : kGgufPatterns) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

const GgufPattern* find_gguf_pattern(SplitPattern pattern, bool ignore_merges) {
  for (const GgufPattern& row : kGgufPatterns) {
    if (row.pattern == pattern && row.ignore_merges == ignore_merges) return &row;
  }
  return nullptr;
}

std::string gguf_pattern_names() {
  std::string names;
  for (const GgufPattern& row : kGgufPatterns) {
    if (!names.empty()) names += ", ";
    names += row.name;
  }
  return names;
}

}  // namespace lancet
