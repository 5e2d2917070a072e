#include "checkpoint/gguf_metadata.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/error.h"
#include "checkpoint/byte_level.h"
#include "checkpoint/config_limits.h"
#include "checkpoint/split_patterns.h"
#include "checkpoint/token_index.h"

namespace lancet {
namespace {

// llama.cpp's enum llama_token_type.
enum GgufTokenType : int32_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

[[noreturn]] void refuse(const std::string& what) {
  throw Error(Fault::unsupported, "the model cannot be written as a GGUF: " + what);
}

/// The keys of one architecture.
class ArchitectureKeys {
 public:
  ArchitectureKeys(GgufMetadata& out, std::string architecture) : out_(out), prefix_(std::move(architecture) + ".") {}
  void integer(std::string_view key, int value) { out_.add(prefix_ + std::string(key), static_cast<uint32_t>(value)); }
  void number(std::string_view key, double value) { out_.add(prefix_ + std::string(key), static_cast<float>(value)); }
  void text(std::string_view key, std::string_view value) { out_.add(prefix_ + std::string(key), value); }

 private:
  GgufMetadata& out_;
  std::string prefix_;
};

/// The magnitude in each architecture's way of saying it: gguf_config.cpp, gguf_magnitude, read backwards.
void add_magnitude(ArchitectureKeys& keys, const RopeConfig& rope, bool mistral3) {
  const double usual = yarn_magnitude(rope.factor, 1.0);
  if (!mistral3) return keys.number("rope.scaling.attn_factor", rope.magnitude / usual);
  double all = 1.0;
  if (rope.factor > 1.0) {
    all = (usual / rope.magnitude - 1.0) / (0.1 * std::log(rope.factor));
  } else if (rope.magnitude != 1.0) {
    refuse(fmt::format("its YaRN factor is {} and its attention factor {}, which needs a factor above 1", rope.factor,
                       rope.magnitude));
  }
  keys.number("rope.scaling.yarn_log_multiplier", all);
}

void add_rope(ArchitectureKeys& keys, const TextConfig& text, bool mistral3) {
  const RopeConfig& rope = text.rope;
  keys.integer("rope.dimension_count", text.head_width);
  keys.number("rope.freq_base", rope.theta);
  if (rope.kind == RopeConfig::Kind::yarn) {
    if (!rope.truncate) refuse("its YaRN does not round the ends of its ramp (truncate is false)");
    keys.text("rope.scaling.type", "yarn");
    keys.number("rope.scaling.factor", rope.factor);
    keys.number("rope.scaling.yarn_beta_fast", rope.beta_fast);
    keys.number("rope.scaling.yarn_beta_slow", rope.beta_slow);
    add_magnitude(keys, rope, mistral3);
  }
  if (rope.original_context > 0) keys.integer("rope.scaling.original_context_length", rope.original_context);
  if (mistral3) {
    keys.number("attention.temperature_scale", rope.query_scale_beta);
  } else if (rope.query_scale_beta != 0) {
    refuse("only mistral3 has a query scale");
  }
}

void add_config(GgufMetadata& out, const ModelConfig& config) {
  const TextConfig& text = config.text;
  const bool mistral3 = config.architecture == "ministral3";
  ArchitectureKeys keys(out, mistral3 ? "mistral3" : config.architecture);
  keys.integer("vocab_size", text.vocabulary);
  keys.integer("context_length", text.context);
  keys.integer("embedding_length", text.hidden);
  keys.integer("block_count", text.layers);
  keys.integer("feed_forward_length", text.ffn);
  keys.integer("attention.head_count", text.heads);
  keys.integer("attention.head_count_kv", text.kv_heads);
  keys.integer("attention.key_length", text.head_width);
  keys.integer("attention.value_length", text.head_width);
  keys.number("attention.layer_norm_rms_epsilon", text.norm_epsilon);
  add_rope(keys, text, mistral3);
}

std::string spell_token(const Token& token, size_t id) {
  if (token.kind == Token::Kind::normal) return byte_level_of_bytes(token.bytes);
  return token.bytes.empty() ? fmt::format("[PAD{}]", id) : token.bytes;
}

int32_t token_type(Token::Kind kind) {
  switch (kind) {
    case Token::Kind::normal: return kNormal;
    case Token::Kind::control: return kControl;
    case Token::Kind::added: return kUserDefined;
    case Token::Kind::unused: return kUnused;
  }
  return kUnused;
}

/// tiktoken's rule as a list: every way to put a token together from two others, tokens by rank, ways by the ranks of
/// their parts. That is how Hugging Face's converter makes the merges of a tekken vocabulary.
std::vector<Merge> merges_by_rank(const Vocabulary& vocabulary, Budget& budget) {
  TokenIndex index(vocabulary.tokens.size());
  for (size_t id = 0; id < vocabulary.tokens.size(); id++) {
    const Token& token = vocabulary.tokens[id];
    if (token.kind == Token::Kind::normal) index.insert(token.bytes, static_cast<TokenId>(id));
  }
  std::vector<Merge> out;
  for (size_t id = 0; id < vocabulary.tokens.size(); id++) {
    const std::string_view bytes = vocabulary.tokens[id].bytes;
    if (vocabulary.tokens[id].kind != Token::Kind::normal) continue;
    const auto first = static_cast<ptrdiff_t>(out.size());
    for (size_t cut = 1; cut < bytes.size(); cut++) {
      budget.step();
      const auto left = index.find(bytes.substr(0, cut)), right = index.find(bytes.substr(cut));
      if (left && right) out.push_back({*left, *right, static_cast<TokenId>(id)});
    }
    std::sort(out.begin() + first, out.end(),
              [](const Merge& a, const Merge& b) { return a.left != b.left ? a.left < b.left : a.right < b.right; });
  }
  return out;
}

/// Readers find tokens by their spelling, so two of the same would be one.
void refuse_equal_spellings(const std::vector<std::string>& tokens) {
  TokenIndex index(tokens.size());
  for (size_t id = 0; id < tokens.size(); id++) {
    if (index.insert(tokens[id], static_cast<TokenId>(id))) continue;
    refuse(
        fmt::format("its tokens {} and {} would both be spelled {}", *index.find(tokens[id]), id, quoted(tokens[id])));
  }
}

void add_tokens(GgufMetadata& out, const Vocabulary& vocabulary, Budget& budget) {
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> types;
  for (size_t id = 0; id < vocabulary.tokens.size(); id++) {
    tokens.push_back(spell_token(vocabulary.tokens[id], id));
    types.push_back(token_type(vocabulary.tokens[id].kind));
  }
  refuse_equal_spellings(tokens);
  const std::vector<Merge> by_rank =
      vocabulary.merge_by_rank ? merges_by_rank(vocabulary, budget) : std::vector<Merge>();
  for (const Merge& merge : vocabulary.merge_by_rank ? by_rank : vocabulary.merges)
    merges.push_back(tokens[static_cast<size_t>(merge.left)] + " " + tokens[static_cast<size_t>(merge.right)]);
  out.add("tokenizer.ggml.tokens", tokens);
  out.add("tokenizer.ggml.token_type", types);
  out.add("tokenizer.ggml.merges", merges);
}

void add_vocabulary(GgufMetadata& out, const Vocabulary& vocabulary, Budget& budget) {
  const bool whole = vocabulary.ignore_merges || vocabulary.merge_by_rank;
  const GgufPattern* pattern = find_gguf_pattern(vocabulary.pattern, whole);
  if (!pattern) {
    refuse(fmt::format("no name of a pre-tokenizer stands for its pattern {} tokens that are taken whole",
                       whole ? "with" : "without"));
  }
  out.add("tokenizer.ggml.model", "gpt2");
  out.add("tokenizer.ggml.pre", pattern->name);
  add_tokens(out, vocabulary, budget);
  const auto id = [&](std::string_view key, std::optional<TokenId> token) {
    if (token) out.add(key, static_cast<uint32_t>(*token));
  };
  id("tokenizer.ggml.bos_token_id", vocabulary.bos);
  id("tokenizer.ggml.eos_token_id", vocabulary.eos);
  id("tokenizer.ggml.unknown_token_id", vocabulary.unknown);
  id("tokenizer.ggml.padding_token_id", vocabulary.padding);
  for (const TokenId end : vocabulary.end_of_generation) {
    if (end == vocabulary.eos) continue;
    id("tokenizer.ggml.eot_token_id", end);
    break;
  }
  out.add("tokenizer.ggml.add_bos_token", vocabulary.add_bos);
  out.add("tokenizer.ggml.add_eos_token", false);
}

}  // namespace

GgufMetadata describe_in_gguf(const Checkpoint& checkpoint, const std::string& name, Budget& budget) {
  const ModelConfig& config = checkpoint.config();
  GgufMetadata out;
  out.add("general.architecture",
          std::string_view(config.architecture == "ministral3" ? "mistral3" : config.architecture));
  out.add("general.type", "model");
  out.add("general.name", std::string_view(name));
  add_config(out, config);
  add_vocabulary(out, checkpoint.vocabulary(), budget);
  if (!checkpoint.chat_template().empty()) out.add("tokenizer.chat_template", checkpoint.chat_template());
  return out;
}

GgufMetadata copy_metadata(const GgufFile& file) {
  GgufMetadata out;
  for (const GgufValue& value : file.values()) {
    const bool own = value.key == "general.file_type" || value.key == "general.quantization_version" ||
                     value.key == "general.alignment" || value.key.starts_with("split.") ||
                     value.key.starts_with("quantize.");
    if (!own) out.add(value);
  }
  return out;
}

}  // namespace lancet
