// GGUF's tensor names and vocabulary keys.
#include "checkpoint/gguf_names.h"

#include <cstring>

#include <fmt/format.h>

#include "base/error.h"

namespace lancet {
namespace {

struct Pair {
  std::string_view theirs, ours;
};
constexpr Pair kLayer[] = {
    {"attn_norm", "attention_norm"}, {"attn_q", "attention.q"},      {"attn_k", "attention.k"},
    {"attn_v", "attention.v"},       {"attn_output", "attention.o"}, {"ffn_norm", "ffn_norm"},
    {"ffn_gate", "ffn.gate"},        {"ffn_up", "ffn.up"},           {"ffn_down", "ffn.down"},
};
constexpr Pair kSingle[] = {
    {"token_embd", "text.embedding"}, {"output_norm", "text.output_norm"}, {"output", "text.output"}};

/// "blk.3.attn_q.weight" -> "text.3.attention.q", or empty.
std::string canonical_name(std::string_view name) {
  constexpr std::string_view kWeight = ".weight", kBlock = "blk.";
  if (!name.ends_with(kWeight)) return {};
  name.remove_suffix(kWeight.size());
  for (const Pair& pair : kSingle) {
    if (pair.theirs == name) return std::string(pair.ours);
  }
  if (!name.starts_with(kBlock)) return {};
  name.remove_prefix(kBlock.size());
  const size_t dot = name.find('.');
  if (dot == std::string_view::npos) return {};
  const auto layer = parse_layer(name.substr(0, dot));
  if (!layer) return {};
  for (const Pair& pair : kLayer) {
    if (pair.theirs == name.substr(dot + 1)) return fmt::format("text.{}.{}", *layer, pair.ours);
  }
  return {};
}

/// Llama 3's frequency factors come as a tensor. All ones means none.
void check_rope_factors(const RawTensor& tensor) {
  bool ones = tensor.format == Format::f32;
  for (size_t at = 0; ones && at + sizeof(float) <= tensor.bytes.size(); at += sizeof(float)) {
    float value = 0;
    std::memcpy(&value, tensor.bytes.data() + at, sizeof(float));
    ones = value == 1.0f;
  }
  if (ones) return;
  throw Error(Fault::unsupported,
              fmt::format("{}: tensor {} scales rotary frequencies (Llama 3.1 and later), which Lancet "
                          "does not compute",
                          tensor.file, lancet::quoted(tensor.name)));
}

}  // namespace

std::string spell_gguf_name(const std::string& canonical) {
  for (const Pair& pair : kSingle) {
    if (pair.ours == canonical) return fmt::format("{}.weight", pair.theirs);
  }
  const size_t first = canonical.find('.'), second = canonical.find('.', first + 1);
  if (second == std::string::npos) return canonical;
  for (const Pair& pair : kLayer) {
    if (pair.ours != canonical.substr(second + 1)) continue;
    return fmt::format("blk.{}.{}.weight", canonical.substr(first + 1, second - first - 1), pair.theirs);
  }
  return canonical;
}

GgufVocabularyFields read_gguf_vocabulary_fields(const GgufFile& file) {
  GgufVocabularyFields out;
  const auto model = file.string("tokenizer.ggml.model");
  if (!model) file.fail("tokenizer.ggml.model", "is missing: the file has no vocabulary");
  out.model = *model;
  out.pre = file.string("tokenizer.ggml.pre").value_or("");
  out.tokens = file.strings("tokenizer.ggml.tokens");
  out.merges = file.strings("tokenizer.ggml.merges");
  out.token_types = file.integers("tokenizer.ggml.token_type");
  if (out.tokens.empty()) file.fail("tokenizer.ggml.tokens", "is missing or empty");
  if (!out.token_types.empty() && out.token_types.size() != out.tokens.size()) {
    file.fail("tokenizer.ggml.token_type",
              fmt::format("has {} values, wanted {}: one a token", out.token_types.size(), out.tokens.size()));
  }
  // Some converters write scores as I32, some as F32, all without meaning for byte-level BPE: only their number
  // counts.
  const GgufValue* scores = file.find("tokenizer.ggml.scores");
  if (scores && (scores->type != GgufType::array || scores->count != out.tokens.size())) {
    file.fail("tokenizer.ggml.scores",
              fmt::format("has {} values, wanted {}: one a token", scores->count, out.tokens.size()));
  }
  out.bos = file.integer("tokenizer.ggml.bos_token_id");
  out.eos = file.integer("tokenizer.ggml.eos_token_id");
  out.eot = file.integer("tokenizer.ggml.eot_token_id");
  out.unknown = file.integer("tokenizer.ggml.unknown_token_id");
  out.padding = file.integer("tokenizer.ggml.padding_token_id");
  out.add_bos = file.boolean("tokenizer.ggml.add_bos_token");
  return out;
}

TensorInventory name_gguf(std::vector<GgufFile>& parts, ModelConfig& config, Budget& budget) {
  TensorInventory out;
  out.source = parts.front().source();
  out.spell = spell_gguf_name;
  size_t image_parts = 0;
  for (GgufFile& part : parts) {
    for (RawTensor& tensor : part.tensors()) {
      budget.step();
      std::string canonical = canonical_name(tensor.name);
      if (!canonical.empty()) {
        out.named.push_back({std::move(canonical), std::move(tensor), {}});
      } else if (tensor.name == "rope_freqs.weight") {
        check_rope_factors(tensor);
      } else if (tensor.name.starts_with("v.") || tensor.name.starts_with("mm.")) {
        image_parts++;
      } else {
        out.unknown.push_back(tensor.name);
      }
    }
  }
  if (image_parts > 0) {
    config.notes.push_back(
        fmt::format("{}: {} tensors of an image part inside the text file (as Ollama writes them) were "
                    "left out",
                    out.source, image_parts));
  }
  return out;
}

}  // namespace lancet
