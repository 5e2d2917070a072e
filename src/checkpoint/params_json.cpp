// Mistral's params.json: the fields that transformers' convert_ministral3_weights_to_hf.py reads.
#include <fmt/format.h>

#include "base/error.h"
#include "checkpoint/config_limits.h"
#include "checkpoint/config_readers.h"

namespace lancet {
namespace {

// Keys that are read here or that cannot change a result.
constexpr std::string_view kYarnKeys[] = {"factor", "beta", "alpha", "original_max_position_embeddings", "apply_scale"};
constexpr std::string_view kVisionKeys[] = {
    "image_token_id",    "image_break_token_id", "image_end_token_id",
    "intermediate_size", "num_hidden_layers",    "num_attention_heads",
    "mm_projector_id",   "spatial_merge_size",   "hidden_size",
    "num_channels",      "image_size",           "max_image_size",
    "patch_size",        "rope_theta",           "add_pre_mm_projector_layer_norm",
    "adapter_bias"};
constexpr std::string_view kNativeKeys[] = {"dim",
                                            "n_layers",
                                            "head_dim",
                                            "hidden_dim",
                                            "n_heads",
                                            "n_kv_heads",
                                            "rope_theta",
                                            "norm_eps",
                                            "vocab_size",
                                            "tied_embeddings",
                                            "max_position_embeddings",
                                            "max_seq_len",
                                            "llama_4_scaling",
                                            "q_lora_rank",
                                            "qk_rope_head_dim",
                                            "qk_nope_head_dim",
                                            "kv_lora_rank",
                                            "v_head_dim",
                                            "quantization",
                                            "yarn",
                                            "vision_encoder",
                                            "model_type",
                                            "sliding_window",
                                            "moe"};

[[noreturn]] void unsupported(const std::string& source, std::string_view what) {
  throw Error(Fault::unsupported, fmt::format("{}: has {}, which Lancet does not compute", source, what));
}

/// The rule of transformers' convert_ministral3_weights_to_hf.py: with a vision encoder both mscales are 1, which
/// makes the magnitude 1; text-only models get m(factor, 1) unless apply_scale says that the frequencies change
/// alone.
double native_magnitude(const JsonView& yarn, bool vision, double factor) {
  const auto apply = yarn.find("apply_scale");
  if (vision || (apply && !apply->boolean())) return 1.0;
  return yarn_magnitude(factor, 1.0);
}

void read_native_rope(const JsonView& root, ModelConfig& config, const std::string& source) {
  RopeConfig& rope = config.text.rope;
  rope.interleaved = true;
  rope.theta = ConfigSource(root, config, source).number("text.rope.theta", "rope_theta");
  if (const auto object = root.find("yarn")) {
    ConfigSource yarn(*object, config, source);
    rope.kind = RopeConfig::Kind::yarn;
    rope.factor = yarn.number("text.rope.factor", "factor");
    rope.beta_fast = yarn.number("text.rope.beta_fast", "beta", 32.0);
    rope.beta_slow = yarn.number("text.rope.beta_slow", "alpha", 1.0);
    rope.original_context = yarn.integer("text.rope.original_context", "original_max_position_embeddings");
    rope.magnitude = native_magnitude(*object, root.find("vision_encoder").has_value(), rope.factor);
    yarn.derived("text.rope.magnitude", rope.magnitude, "yarn.apply_scale and vision_encoder");
    yarn.note_unknown(kYarnKeys);
  }
  if (const auto object = root.find("llama_4_scaling")) {
    ConfigSource scaling(*object, config, source);
    rope.query_scale_beta = scaling.number("text.rope.query_scale_beta", "beta");
    const int step = scaling.integer("text.rope.original_context", "original_max_position_embeddings");
    if (rope.kind == RopeConfig::Kind::yarn && step != rope.original_context) {
      unsupported(source,
                  fmt::format("a query scale that steps every {} positions and a YaRN that was stretched from {}", step,
                              rope.original_context));
    }
    rope.original_context = step;
  }
}

void read_native_vision(const JsonView& object, ModelConfig& config, const std::string& source) {
  ConfigSource vision(object, config, source);
  VisionConfig out;
  out.layers = vision.integer("vision.layers", "num_hidden_layers");
  out.hidden = vision.integer("vision.hidden", "hidden_size");
  out.heads = vision.integer("vision.heads", "num_attention_heads");
  if (out.hidden % out.heads != 0) {
    throw Error(Fault::bad_file,
                fmt::format("{}: {} vision heads do not divide the hidden size {}", source, out.heads, out.hidden));
  }
  out.head_width = out.hidden / out.heads;
  vision.derived("vision.head_width", out.head_width, "hidden_size / num_attention_heads");
  out.ffn = vision.integer("vision.ffn", "intermediate_size");
  out.patch = vision.integer("vision.patch", "patch_size");
  out.image_size = object.find("max_image_size") ? vision.integer("vision.image_size", "max_image_size")
                                                 : vision.integer("vision.image_size", "image_size");
  out.merge = vision.integer("vision.merge", "spatial_merge_size", 2);
  out.rope_theta = vision.number("vision.rope_theta", "rope_theta", 10000.0);
  out.interleaved = true;
  if (const auto kind = object.find("mm_projector_id"); kind && kind->string() != "patch_merge") {
    unsupported(source, "the image projector " + lancet::quoted(kind->string()));
  }
  if (const auto bias = object.find("adapter_bias"); bias && bias->boolean()) unsupported(source, "adapter biases");
  if (const auto norm = object.find("add_pre_mm_projector_layer_norm"); norm && !norm->boolean()) {
    unsupported(source, "an image projector without its norm");
  }
  vision.note_unknown(kVisionKeys);
  config.vision = out;
}

}  // namespace

SafetensorsConfig read_params_json(std::string_view text, const std::string& source, Budget& budget) {
  const boost::json::value document = parse_json(text, source, {}, budget);
  const JsonView root(document, source, Fault::bad_file);
  SafetensorsConfig out;
  ModelConfig& model = out.model;
  model.architecture = "ministral3";
  for (const char* key : {"q_lora_rank", "kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "moe"}) {
    if (root.find(key)) unsupported(source, fmt::format("a value for {}", lancet::quoted(key)));
  }
  ConfigSource native(root, model, source);
  model.text.layers = native.integer("text.layers", "n_layers");
  model.text.hidden = native.integer("text.hidden", "dim");
  model.text.heads = native.integer("text.heads", "n_heads");
  model.text.kv_heads = native.integer("text.kv_heads", "n_kv_heads");
  model.text.head_width = native.integer("text.head_width", "head_dim");
  model.text.ffn = native.integer("text.ffn", "hidden_dim");
  model.text.vocabulary = native.integer("text.vocabulary", "vocab_size");
  const bool old = !root.find("max_position_embeddings") && root.find("max_seq_len");
  model.text.context = native.integer("text.context", old ? "max_seq_len" : "max_position_embeddings");
  model.text.norm_epsilon = native.number("text.norm_epsilon", "norm_eps");
  read_native_rope(root, model, source);
  if (const auto vision = root.find("vision_encoder")) read_native_vision(*vision, model, source);
  if (const auto tied = root.find("tied_embeddings")) out.tied = tied->boolean();
  if (const auto window = root.find("sliding_window")) unsupported(source, "a sliding attention window");
  if (const auto quantization = root.find("quantization")) {
    if (const auto format = quantization->find("qformat_weight"); format && format->string() != "fp8_e4m3") {
      unsupported(source, "weights in " + lancet::quoted(format->string()));
    }
  }
  native.note_unknown(kNativeKeys);
  out.special_ids = "{}";
  check_config(model, source);
  return out;
}

}  // namespace lancet
