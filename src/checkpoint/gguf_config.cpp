// GGUF's metadata of the two architectures that Lancet computes. Source: llama.cpp gguf-py/gguf/constants.py.
#include <cmath>

#include <fmt/format.h>

#include "base/error.h"
#include "checkpoint/config_limits.h"
#include "checkpoint/gguf_names.h"

namespace lancet {
namespace {

/// Reads the keys of one architecture into a ModelConfig: in range, with their origin written down.
class GgufSource {
 public:
  GgufSource(const GgufFile& file, std::string prefix, ModelConfig& config)
      : file_(file), prefix_(std::move(prefix)), config_(config) {}

  /// The first of the keys that is there; `legacy` is what old Ollama files say.
  int integer(std::string_view name, std::string_view key, std::optional<int> fallback = {}) {
    const ConfigRange& range = config_range(name);
    const std::string full = prefix_ + std::string(key);
    const auto found = file_.integer(full);
    if (!found && !fallback) file_.fail(full, "is missing");
    const auto low = static_cast<int64_t>(range.low), high = static_cast<int64_t>(range.high);
    if (found && (*found < low || *found > high)) {
      file_.fail(full, fmt::format("is {}, wanted an integer from {} to {}", *found, low, high));
    }
    const int value = found ? static_cast<int>(*found) : *fallback;
    record(name, value, found ? full : "default");
    return value;
  }
  double number(std::string_view name, std::string_view key, std::optional<double> fallback = {},
                std::string_view legacy = {}) {
    const ConfigRange& range = config_range(name);
    std::string full = prefix_ + std::string(key);
    if (!legacy.empty() && !file_.find(full) && file_.find(prefix_ + std::string(legacy))) {
      full = prefix_ + std::string(legacy);
    }
    const auto found = file_.number(full);
    if (!found && !fallback) file_.fail(full, "is missing");
    // Written so that NaN is out of range.
    if (found && !(*found >= range.low && *found <= range.high)) {
      file_.fail(full, fmt::format("is {}, wanted a number from {} to {}", *found, range.low, range.high));
    }
    const double value = found.value_or(fallback.value_or(0));
    record(name, value, found ? full : "default");
    return value;
  }
  void derived(std::string_view name, double value, std::string how) { record(name, value, "derived from " + how); }
  std::optional<double> peek(std::string_view key) const { return file_.number(prefix_ + std::string(key)); }
  std::optional<std::string_view> text(std::string_view key) const { return file_.string(prefix_ + std::string(key)); }
  std::string full(std::string_view key) const { return prefix_ + std::string(key); }
  const GgufFile& file() const { return file_; }

  [[noreturn]] void unsupported(std::string_view key, const std::string& found, std::string_view wanted) const {
    throw Error(Fault::unsupported,
                fmt::format("{}: key {}{} is {}, which Lancet does not compute: supported is {}", file_.source(),
                            prefix_, key, found, wanted),
                full(key));
  }

 private:
  void record(std::string_view name, double value, std::string key) {
    config_.origins.push_back({std::string(name), fmt::format("{}", value), std::move(key), file_.source()});
  }

  const GgufFile& file_;
  std::string prefix_;
  ModelConfig& config_;
};

/// mistral3 writes mscale_all_dim itself as yarn_log_multiplier (mscale is 1); older converters left it out, and the
/// magnitude is 1 then too. llama has attn_factor on top of m(factor, 1). docs/ministral3.md, "Position".
double gguf_magnitude(GgufSource& source, bool mistral3, double factor) {
  if (!mistral3) {
    const double extra = source.number("text.rope.magnitude", "rope.scaling.attn_factor", 1.0);
    return yarn_magnitude(factor, 1.0) * extra;
  }
  if (const auto extra = source.peek("rope.scaling.attn_factor"); extra && *extra != 1.0) {
    source.unsupported("rope.scaling.attn_factor", fmt::format("{}", *extra), "1");
  }
  const double all =
      source.number("text.rope.mscale_all_dim", "rope.scaling.yarn_log_multiplier", 1.0, "rope.scaling.mscale_all_dim");
  return all == 0 ? yarn_magnitude(factor, 1.0) : yarn_magnitude(factor, 1.0) / yarn_magnitude(factor, all);
}

void read_rope(GgufSource& source, RopeConfig& rope, bool mistral3) {
  rope.interleaved = true;
  rope.theta = mistral3 ? source.number("text.rope.theta", "rope.freq_base")
                        : source.number("text.rope.theta", "rope.freq_base", 10000.0);
  if (mistral3) {
    rope.query_scale_beta =
        source.number("text.rope.query_scale_beta", "attention.temperature_scale", 0.0, "rope.scaling_beta");
  }
  const std::string_view kind = source.text("rope.scaling.type").value_or("none");
  if (kind == "yarn") {
    rope.kind = RopeConfig::Kind::yarn;
    rope.factor = source.number("text.rope.factor", "rope.scaling.factor");
    rope.beta_fast =
        source.number("text.rope.beta_fast", "rope.scaling.yarn_beta_fast", 32.0, "rope.scaling.beta_fast");
    rope.beta_slow = source.number("text.rope.beta_slow", "rope.scaling.yarn_beta_slow", 1.0, "rope.scaling.beta_slow");
    rope.magnitude = gguf_magnitude(source, mistral3, rope.factor);
    source.derived("text.rope.magnitude", rope.magnitude, "rope.scaling.*");
  } else if (kind != "none" && source.peek("rope.scaling.factor").value_or(1.0) != 1.0) {
    source.unsupported("rope.scaling.type", lancet::quoted(kind), "\"yarn\" or \"none\"");
  }
  for (const char* key : {"rope.scale_linear", "rope.scale"}) {
    if (const auto scale = source.peek(key); scale && *scale != 1.0) {
      source.unsupported(key, fmt::format("{}", *scale), "1");
    }
  }
  if (rope.kind == RopeConfig::Kind::yarn || rope.query_scale_beta != 0) {
    rope.original_context = source.integer("text.rope.original_context", "rope.scaling.original_context_length");
  }
}

int read_head_width(GgufSource& source, const TextConfig& text) {
  int width = 0;
  if (source.file().find(source.full("attention.key_length"))) {
    width = source.integer("text.head_width", "attention.key_length");
  } else if (source.file().find(source.full("rope.dimension_count"))) {
    width = source.integer("text.head_width", "rope.dimension_count");
  } else if (text.hidden % text.heads == 0) {
    width = text.hidden / text.heads;
    source.derived("text.head_width", width, "embedding_length / attention.head_count");
  } else {
    source.file().fail(source.full("attention.key_length"), "is missing");
  }
  for (const char* key : {"attention.value_length", "rope.dimension_count"}) {
    const auto other = source.peek(key);
    if (other && *other != width)
      source.unsupported(key, fmt::format("{}", *other), fmt::format("{}, the head width", width));
  }
  return width;
}

/// Rows of the embedding: the vocabulary's size where no key says it.
int embedding_rows(const GgufFile& file) {
  for (const RawTensor& tensor : file.tensors()) {
    if (tensor.name != "token_embd.weight" || tensor.shape.size() != 2) continue;
    if (tensor.shape[0] <= static_cast<int64_t>(config_range("text.vocabulary").high))
      return static_cast<int>(tensor.shape[0]);
  }
  file.fail("vocab_size", "is missing, and the first part has no token_embd.weight to take it from");
}

[[noreturn]] void refuse_architecture(const GgufFile& file, std::string_view name) {
  if (name == "clip") {
    throw Error(Fault::unsupported,
                fmt::format("{}: is the image part of a model (an mmproj file), not a model: give the "
                            "text model's .gguf",
                            file.source()));
  }
  throw Error(Fault::unsupported,
              fmt::format("{}: the architecture is {}; supported are \"mistral3\" and \"llama\"", file.source(),
                          lancet::quoted(name)),
              "general.architecture");
}

void refuse_variants(GgufSource& source, const TextConfig& text) {
  if (const auto experts = source.peek("expert_count"); experts && *experts != 0) {
    source.unsupported("expert_count", fmt::format("{}", *experts), "0 (no mixture of experts)");
  }
  const auto window = source.peek("attention.sliding_window");
  if (window && *window != 0 && *window < text.context) {
    source.unsupported("attention.sliding_window", fmt::format("{}", *window), "none (full attention)");
  }
  for (const char* key : {"logit_scale", "attention.scale", "residual_scale", "embedding_scale"}) {
    if (const auto scale = source.peek(key); scale && *scale != 0.0 && *scale != 1.0) {
      source.unsupported(key, fmt::format("{}", *scale), "1");
    }
  }
}

}  // namespace

ModelConfig read_gguf_config(const GgufFile& file) {
  const auto architecture = file.string("general.architecture"), kind = file.string("general.type");
  if (!architecture) file.fail("general.architecture", "is missing");
  const bool mistral3 = *architecture == "mistral3";
  if (!mistral3 && *architecture != "llama") refuse_architecture(file, *architecture);
  if (kind && *kind != "model") {
    throw Error(Fault::unsupported,
                fmt::format("{}: general.type is {}, wanted \"model\": adapters and other parts of models "
                            "cannot be opened by themselves",
                            file.source(), lancet::quoted(*kind)));
  }
  ModelConfig config;
  config.architecture = mistral3 ? "ministral3" : "llama";
  GgufSource source(file, std::string(*architecture) + ".", config);
  TextConfig& text = config.text;
  text.layers = source.integer("text.layers", "block_count");
  text.hidden = source.integer("text.hidden", "embedding_length");
  text.heads = source.integer("text.heads", "attention.head_count");
  text.kv_heads = source.integer("text.kv_heads", "attention.head_count_kv", text.heads);
  text.head_width = read_head_width(source, text);
  text.ffn = source.integer("text.ffn", "feed_forward_length");
  text.context = source.integer("text.context", "context_length");
  // GGUF stores the epsilon as f32; 1e-5 comes back as 9.99999975e-6, and the arithmetic is f32 anyway.
  text.norm_epsilon = source.number("text.norm_epsilon", "attention.layer_norm_rms_epsilon");
  if (file.find(source.full("vocab_size"))) {
    text.vocabulary = source.integer("text.vocabulary", "vocab_size");
  } else {
    text.vocabulary = embedding_rows(file);
    source.derived("text.vocabulary", text.vocabulary, "token_embd.weight");
  }
  read_rope(source, text.rope, mistral3);
  refuse_variants(source, text);
  check_config(config, file.source());
  return config;
}

}  // namespace lancet
