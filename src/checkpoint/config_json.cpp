// Hugging Face's config.json. What is not read here and could change a result is looked for and refused.
#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <boost/json/serialize.hpp>

#include "checkpoint/config_limits.h"
#include "checkpoint/config_readers.h"

namespace lancet {
namespace json = boost::json;
namespace {

constexpr double kVisionTheta = 10000.0;  // transformers configuration_pixtral.py

/// Keys that are read here or that cannot change a result.
constexpr std::string_view kTextKeys[] = {"num_hidden_layers",
                                          "hidden_size",
                                          "head_dim",
                                          "num_attention_heads",
                                          "num_key_value_heads",
                                          "intermediate_size",
                                          "vocab_size",
                                          "hidden_act",
                                          "max_position_embeddings",
                                          "rms_norm_eps",
                                          "rope_parameters",
                                          "rope_scaling",
                                          "rope_theta",
                                          "sliding_window",
                                          "attention_bias",
                                          "mlp_bias",
                                          "use_qk_norm",
                                          "attention_dropout",
                                          "bos_token_id",
                                          "eos_token_id",
                                          "pad_token_id",
                                          "tie_word_embeddings",
                                          "initializer_range",
                                          "use_cache",
                                          "pretraining_tp",
                                          "model_type",
                                          "dtype",
                                          "torch_dtype",
                                          "quantization_config"};
constexpr std::string_view kOuterKeys[] = {
    "architectures",        "image_token_index",    "image_token_id", "multimodal_projector_bias",
    "projector_hidden_act", "spatial_merge_size",   "text_config",    "transformers_version",
    "vision_config",        "vision_feature_layer", "_name_or_path",  "is_llama_config"};
constexpr std::string_view kRopeKeys[] = {"rope_theta",
                                          "rope_type",
                                          "type",
                                          "factor",
                                          "beta_fast",
                                          "beta_slow",
                                          "mscale",
                                          "mscale_all_dim",
                                          "attention_factor",
                                          "original_max_position_embeddings",
                                          "llama_4_scaling_beta",
                                          "truncate",
                                          "partial_rotary_factor"};
constexpr std::string_view kVisionKeys[] = {
    "model_type",          "hidden_act",        "num_channels", "num_hidden_layers", "hidden_size",     "head_dim",
    "num_attention_heads", "intermediate_size", "patch_size",   "image_size",        "rope_parameters", "rope_theta",
    "attention_dropout",   "initializer_range", "dtype",        "torch_dtype"};
constexpr std::string_view kQuantizationKeys[] = {
    "quant_method",      "fmt",        "weight_block_size", "modules_to_not_convert",
    "activation_scheme", "dequantize", "scale_fmt"};

/// What a config.json may call a model that we compute, and the name that we give it.
struct Alias {
  std::string_view theirs, ours;
};
constexpr Alias kAliases[] = {
    {"Mistral3ForConditionalGeneration", "ministral3"},
    {"Ministral3ForCausalLM", "ministral3"},
    {"mistral3", "ministral3"},
    {"ministral3", "ministral3"},
    {"LlamaForCausalLM", "llama"},
    {"llama", "llama"},
    {"MistralForCausalLM", "llama"},
    {"mistral", "llama"},
};

std::string_view find_alias(std::string_view theirs) {
  for (const Alias& alias : kAliases) {
    if (alias.theirs == theirs) return alias.ours;
  }
  return {};
}

[[noreturn]] void unsupported(const JsonView& what, std::string_view wanted) {
  const auto& value = what.value();
  const std::string found = value.is_string() ? lancet::quoted(what.string()) : json::serialize(value).substr(0, 80);
  throw Error(Fault::unsupported,
              fmt::format("{} is {}, which Lancet does not compute: supported is {}", what.path(), found, wanted),
              what.path());
}

/// The model's own class name decides; model_type stands in where there is none.
std::string architecture_of(const JsonView& root, const std::string& source) {
  std::string found;
  if (const auto list = root.find("architectures"); list && list->size() > 0) {
    found = list->element(0).string();
  } else if (const auto type = root.find("model_type")) {
    found = type->string();
  } else {
    throw Error(Fault::bad_file, source + ": has neither architectures nor model_type: is it a model's configuration?");
  }
  std::string_view ours = find_alias(found);
  // Mistral Small 3.1 and 3.2 share the outer class; their text part is plain Mistral.
  const auto text = root.find("text_config");
  if (const auto type = text ? text->find("model_type") : std::nullopt; type && !ours.empty()) {
    ours = find_alias(type->string());
    found = fmt::format("{} with text_config.model_type {}", found, type->string());
  }
  if (ours.empty()) {
    throw Error(Fault::unsupported,
                fmt::format("{}: the architecture is {}; supported are Mistral3ForConditionalGeneration, "
                            "Ministral3ForCausalLM, LlamaForCausalLM and MistralForCausalLM",
                            source, lancet::quoted(found)));
  }
  return std::string(ours);
}

/// Switches that must be off (or at one value), because we do not compute the other case.
void refuse_variants(const JsonView& object, std::initializer_list<std::string_view> must_be_off) {
  for (const std::string_view key : must_be_off) {
    if (const auto flag = object.find(key); flag && flag->boolean()) unsupported(*flag, "false");
  }
}
void require_text(const JsonView& object, std::string_view key, std::string_view wanted) {
  if (const auto found = object.find(key); found && found->string() != wanted)
    unsupported(*found, lancet::quoted(wanted));
}

/// The object that holds the rope numbers, whichever generation of transformers wrote the file.
std::optional<JsonView> rope_object(const JsonView& text) {
  if (const auto found = text.find("rope_parameters")) return found;
  return text.find("rope_scaling");
}

double yarn_magnitude_of(ConfigSource& rope, double factor) {
  // transformers modeling_rope_utils.py: attention_factor wins; then both mscales if neither is absent nor zero
  // (Python's truthiness); else m(factor, 1).
  if (rope.object().find("attention_factor")) return rope.number("text.rope.magnitude", "attention_factor");
  const double mscale = rope.number("text.rope.mscale", "mscale", 0.0);
  const double all = rope.number("text.rope.mscale_all_dim", "mscale_all_dim", 0.0);
  const bool both = mscale != 0 && all != 0;
  const double magnitude =
      both ? yarn_magnitude(factor, mscale) / yarn_magnitude(factor, all) : yarn_magnitude(factor, 1.0);
  rope.derived("text.rope.magnitude", magnitude, both ? "mscale and mscale_all_dim" : "factor");
  return magnitude;
}

void read_rope(const JsonView& text_object, ConfigSource& text, ModelConfig& config, const std::string& source) {
  RopeConfig& out = config.text.rope;
  const auto object = rope_object(text_object);
  if (object && object->find("rope_theta")) {
    ConfigSource inner(*object, config, source);
    out.theta = inner.number("text.rope.theta", "rope_theta");
  } else {
    out.theta = config.architecture == "llama" ? text.number("text.rope.theta", "rope_theta", 10000.0)
                                               : text.number("text.rope.theta", "rope_theta");
  }
  if (!object) return;
  auto type = object->find("rope_type");
  if (!type) type = object->find("type");
  const std::string_view kind = type ? type->string() : "default";
  ConfigSource rope(*object, config, source);
  rope.note_unknown(kRopeKeys);
  if (const auto partial = object->find("partial_rotary_factor"); partial && partial->number(0, 1) != 1.0) {
    unsupported(*partial, "1");
  }
  if (config.architecture == "ministral3") {
    out.query_scale_beta = rope.number("text.rope.query_scale_beta", "llama_4_scaling_beta", 0.0);
  }
  if (kind == "yarn") {
    out.kind = RopeConfig::Kind::yarn;
    out.factor = rope.number("text.rope.factor", "factor");
    out.beta_fast = rope.number("text.rope.beta_fast", "beta_fast", 32.0);
    out.beta_slow = rope.number("text.rope.beta_slow", "beta_slow", 1.0);
    out.truncate = rope.boolean("text.rope.truncate", "truncate", true);
    out.magnitude = yarn_magnitude_of(rope, out.factor);
  } else if (kind != "default") {
    unsupported(*type, "\"yarn\" or \"default\"");
  } else if (const auto factor = object->find("factor"); factor && factor->number(0, 1e9) != 1.0) {
    unsupported(*factor, "1 for rotary positions that are not yarn");
  }
  if (out.kind == RopeConfig::Kind::yarn || out.query_scale_beta != 0) {
    out.original_context = rope.integer("text.rope.original_context", "original_max_position_embeddings");
  }
}

int derive_head_width(ConfigSource& source, std::string_view name, int hidden, int heads) {
  const auto wanted = source.object().find("head_dim");
  if (wanted) return source.integer(name, "head_dim");
  if (hidden % heads != 0) {
    throw Error(Fault::bad_file,
                fmt::format("{} has no head_dim, and {} attention heads do not divide the hidden size {}",
                            source.object().path().empty() ? "config.json" : source.object().path(), heads, hidden));
  }
  const ConfigRange& range = config_range(name);
  const int width = hidden / heads;
  if (width < range.low || width > range.high) {
    throw Error(Fault::bad_file,
                fmt::format("head_dim works out as {}, wanted {} to {}", width, range.low, range.high));
  }
  source.derived(name, width, "hidden_size / num_attention_heads");
  return width;
}

void read_text(const JsonView& object, ModelConfig& config, const std::string& source) {
  ConfigSource text(object, config, source);
  const bool llama = config.architecture == "llama";
  TextConfig& out = config.text;
  out.layers = text.integer("text.layers", "num_hidden_layers");
  out.hidden = text.integer("text.hidden", "hidden_size");
  out.heads = text.integer("text.heads", "num_attention_heads");
  out.kv_heads = llama ? text.integer("text.kv_heads", "num_key_value_heads", out.heads)
                       : text.integer("text.kv_heads", "num_key_value_heads");
  out.head_width = derive_head_width(text, "text.head_width", out.hidden, out.heads);
  out.ffn = text.integer("text.ffn", "intermediate_size");
  out.vocabulary = text.integer("text.vocabulary", "vocab_size");
  out.context = text.integer("text.context", "max_position_embeddings");
  out.norm_epsilon = text.number("text.norm_epsilon", "rms_norm_eps");
  require_text(object, "hidden_act", "silu");
  refuse_variants(object, {"attention_bias", "mlp_bias", "use_qk_norm"});
  if (const auto window = object.find("sliding_window")) {
    if (window->integer(0, INT32_MAX) < out.context) unsupported(*window, "null (full attention)");
  }
  read_rope(object, text, config, source);
}

void read_vision(const JsonView& root, const JsonView& object, ModelConfig& config, const std::string& source) {
  ConfigSource vision(object, config, source);
  require_text(object, "model_type", "pixtral");
  require_text(object, "hidden_act", "silu");
  if (const auto channels = object.find("num_channels"); channels && channels->integer(1, 64) != 3) {
    unsupported(*channels, "3");
  }
  VisionConfig out;
  out.layers = vision.integer("vision.layers", "num_hidden_layers");
  out.hidden = vision.integer("vision.hidden", "hidden_size");
  out.heads = vision.integer("vision.heads", "num_attention_heads");
  out.head_width = derive_head_width(vision, "vision.head_width", out.hidden, out.heads);
  out.ffn = vision.integer("vision.ffn", "intermediate_size");
  out.patch = vision.integer("vision.patch", "patch_size");
  out.image_size = vision.integer("vision.image_size", "image_size");
  if (const auto rope = object.find("rope_parameters"); rope && rope->find("rope_theta")) {
    out.rope_theta = ConfigSource(*rope, config, source).number("vision.rope_theta", "rope_theta");
  } else {
    out.rope_theta = vision.number("vision.rope_theta", "rope_theta", kVisionTheta);
  }
  vision.note_unknown(kVisionKeys);
  ConfigSource outer(root, config, source);
  out.merge = outer.integer("vision.merge", "spatial_merge_size", 2);
  refuse_variants(root, {"multimodal_projector_bias"});
  require_text(root, "projector_hidden_act", "gelu");
  if (const auto layer = root.find("vision_feature_layer"); layer && layer->value() != json::value(-1)) {
    unsupported(*layer, "-1 (the last layer)");
  }
  config.vision = out;
}

void read_quantization(const JsonView& object, SafetensorsConfig& out, const std::string& source) {
  require_text(object, "quant_method", "fp8");
  require_text(object, "fmt", "e4m3");
  if (const auto block = object.find("weight_block_size")) {
    if (block->size() != 2) block->fail("two numbers, or null for one scale a tensor");
    out.scale_block = std::pair(block->element(0).integer(1, 1 << 20), block->element(1).integer(1, 1 << 20));
  }
  // modules_to_not_convert is not needed: each tensor says by its own type whether it is FP8.
  ConfigSource(object, out.model, source).note_unknown(kQuantizationKeys);
}

/// bos, eos and pad of the configuration as a generation_config.json would have them.
std::string special_ids_of(const JsonView& root, const JsonView& text) {
  json::object ids;
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
    auto found = root.find(key);
    if (!found) found = text.find(key);
    if (found) ids[key] = found->value();
  }
  return json::serialize(ids);
}

}  // namespace

std::string read_special_ids(std::string_view text, const std::string& source, Budget& budget) {
  const json::value document = parse_json(text, source, {}, budget);
  const JsonView root(document, source, Fault::bad_file);
  return special_ids_of(root, root.find("text_config").value_or(root));
}

SafetensorsConfig read_config_json(std::string_view text, const std::string& source, Budget& budget) {
  const json::value document = parse_json(text, source, {}, budget);
  const JsonView root(document, source, Fault::bad_file);
  SafetensorsConfig out;
  ModelConfig& model = out.model;
  model.architecture = architecture_of(root, source);
  const JsonView text_object = root.find("text_config").value_or(root);
  read_text(text_object, model, source);
  if (const auto vision = root.find("vision_config")) read_vision(root, *vision, model, source);
  for (const auto& holder : {text_object, root}) {
    if (const auto q = holder.find("quantization_config")) read_quantization(*q, out, source);
    if (const auto tied = holder.find("tie_word_embeddings")) out.tied = tied->boolean();
  }
  out.special_ids = special_ids_of(root, text_object);
  ConfigSource(root, model, source).note_unknown(kOuterKeys, kTextKeys);
  if (root.find("text_config")) ConfigSource(text_object, model, source).note_unknown(kTextKeys);
  check_config(model, source);
  return out;
}

}  // namespace lancet
