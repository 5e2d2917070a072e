// A tokenizer's data, whatever file it came from: tokens as bytes, how to split, what to merge.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lancet {

using TokenId = int32_t;

/// How text is cut before merging. One row of the pattern table in text/pretokenizer.h each.
enum class SplitPattern { tekken, gpt2, llama3, smollm };

struct Token {
  enum class Kind : uint8_t {
    normal,   // bytes, reachable by merging
    control,  // only trusted text may spell it; never merged; not shown in output
    added,    // an added token that is ordinary text in output ("special": false)
    unused,   // a hole in the ids
  };
  std::string bytes;  // what it stands for, raw bytes; for control tokens their name: "[INST]"
  Kind kind = Kind::normal;
};

struct Merge {
  TokenId left, right, result;
};

/// Byte-level BPE data. Invariants, established by the readers: tokens.size() is the model's vocabulary; ids in every
/// field are inside it; no two normal tokens have the same bytes.
struct Vocabulary {
  std::vector<Token> tokens;
  SplitPattern pattern = SplitPattern::gpt2;
  bool ignore_merges = false;  // a piece that is a token as a whole is that token, whatever the merges say
  bool merge_by_rank = false;  // tiktoken rule: merge the pair whose union is the token of lowest id; merges is empty
  std::vector<Merge> merges;   // in order of priority, first is strongest; empty if merge_by_rank
  std::optional<TokenId> bos, eos, unknown, padding;
  std::vector<TokenId> end_of_generation;  // eos and its kin (<|im_end|>, <|eot_id|>): generation stops there
  bool add_bos = false;                    // raw text prompts start with bos
  std::vector<std::string> notes;
};

}  // namespace lancet
