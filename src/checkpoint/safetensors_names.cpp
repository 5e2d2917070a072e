// The tables of names. They are data, so that a new spelling is a new row.
#include "checkpoint/safetensors_names.h"

#include <fmt/format.h>

#include "base/error.h"

namespace lancet {
namespace {

using Role = SafetensorsName::Role;

struct Pair {
  std::string_view theirs, ours;
};

constexpr Pair kTextLayer[] = {
    {"input_layernorm", "attention_norm"},
    {"attention_norm", "attention_norm"},
    {"post_attention_layernorm", "ffn_norm"},
    {"ffn_norm", "ffn_norm"},
    {"self_attn.q_proj", "attention.q"},
    {"attention.wq", "attention.q"},
    {"self_attn.k_proj", "attention.k"},
    {"attention.wk", "attention.k"},
    {"self_attn.v_proj", "attention.v"},
    {"attention.wv", "attention.v"},
    {"self_attn.o_proj", "attention.o"},
    {"attention.wo", "attention.o"},
    {"mlp.gate_proj", "ffn.gate"},
    {"feed_forward.w1", "ffn.gate"},
    {"mlp.up_proj", "ffn.up"},
    {"feed_forward.w3", "ffn.up"},
    {"mlp.down_proj", "ffn.down"},
    {"feed_forward.w2", "ffn.down"},
};
constexpr Pair kVisionLayer[] = {
    {"attention_norm", "attention_norm"},   {"ffn_norm", "ffn_norm"},
    {"attention.q_proj", "attention.q"},    {"attention.wq", "attention.q"},
    {"attention.k_proj", "attention.k"},    {"attention.wk", "attention.k"},
    {"attention.v_proj", "attention.v"},    {"attention.wv", "attention.v"},
    {"attention.o_proj", "attention.o"},    {"attention.wo", "attention.o"},
    {"feed_forward.gate_proj", "ffn.gate"}, {"feed_forward.w1", "ffn.gate"},
    {"feed_forward.up_proj", "ffn.up"},     {"feed_forward.w3", "ffn.up"},
    {"feed_forward.down_proj", "ffn.down"}, {"feed_forward.w2", "ffn.down"},
};
constexpr Pair kTextSingle[] = {
    {"embed_tokens", "text.embedding"}, {"tok_embeddings", "text.embedding"},
    {"norm", "text.output_norm"},       {"lm_head", "text.output"},
    {"output", "text.output"},
};
constexpr Pair kProjector[] = {
    {"multi_modal_projector.norm", "projector.norm"},
    {"multi_modal_projector.patch_merger.merging_layer", "projector.merge"},
    {"multi_modal_projector.linear_1", "projector.1"},
    {"multi_modal_projector.linear_2", "projector.2"},
    {"pre_mm_projector_norm", "projector.norm"},
    {"patch_merger.merging_layer", "projector.merge"},
    {"vision_language_adapter.w_in", "projector.1"},
    {"vision_language_adapter.w_out", "projector.2"},
};
// Longest first: the first that fits is taken off.
constexpr std::string_view kTextPrefixes[] = {"model.language_model.model.", "language_model.model.",
                                              "model.language_model.", "language_model.", "model."};
constexpr std::string_view kVisionPrefixes[] = {"model.vision_tower.", "model.vision_encoder.", "vision_tower.",
                                                "vision_encoder."};
struct Suffix {
  std::string_view text;
  Role role;
};
constexpr Suffix kSuffixes[] = {
    {".weight_scale_inv", Role::weight_scale},
    {".weight_scale", Role::weight_scale},
    {".qscale_weight", Role::weight_scale},
    {".activation_scale", Role::activation_scale},
    {".input_scale", Role::activation_scale},
    {".qscale_act", Role::activation_scale},
    {".weight", Role::weight},
};

template <size_t n>
std::string_view look_up(const Pair (&table)[n], std::string_view theirs) {
  for (const Pair& pair : table) {
    if (pair.theirs == theirs) return pair.ours;
  }
  return {};
}

/// "layers.12.mlp.up_proj" -> "<kind>.12.ffn.up", or empty.
template <size_t n>
std::string layer_name(std::string_view module, std::string_view kind, const Pair (&table)[n]) {
  constexpr std::string_view kLayers = "layers.";
  if (!module.starts_with(kLayers)) return {};
  module.remove_prefix(kLayers.size());
  const size_t dot = module.find('.');
  if (dot == std::string_view::npos) return {};
  const auto layer = parse_layer(module.substr(0, dot));
  if (!layer) return {};
  const std::string_view ours = look_up(table, module.substr(dot + 1));
  return ours.empty() ? std::string() : fmt::format("{}.{}.{}", kind, *layer, ours);
}

std::string vision_name(std::string_view module) {
  for (const std::string_view prefix : kVisionPrefixes) {
    if (!module.starts_with(prefix)) continue;
    const std::string_view rest = module.substr(prefix.size());
    if (rest == "patch_conv") return "vision.patch";
    if (rest == "ln_pre") return "vision.norm";
    constexpr std::string_view kTransformer = "transformer.";
    if (!rest.starts_with(kTransformer)) return {};
    return layer_name(rest.substr(kTransformer.size()), "vision", kVisionLayer);
  }
  return {};
}

std::string module_name(std::string_view module) {
  if (std::string vision = vision_name(module); !vision.empty()) return vision;
  const std::string_view inner = module.starts_with("model.") ? module.substr(6) : module;
  if (const std::string_view projector = look_up(kProjector, inner); !projector.empty()) return std::string(projector);
  for (const std::string_view prefix : kTextPrefixes) {
    if (!module.starts_with(prefix)) continue;
    module.remove_prefix(prefix.size());
    break;
  }
  if (const std::string_view single = look_up(kTextSingle, module); !single.empty()) return std::string(single);
  return layer_name(module, "text", kTextLayer);
}

/// The other direction, taking the first or the last spelling of the table.
template <size_t n>
std::string spell_in(const Pair (&table)[n], std::string_view ours, bool last) {
  std::string found;
  for (const Pair& pair : table) {
    if (pair.ours == ours && (found.empty() || last)) found = pair.theirs;
  }
  return found;
}

std::string spell(const std::string& canonical, bool native) {
  const std::string text = native ? "" : "language_model.model.";
  const std::string vision = native ? "vision_encoder." : "vision_tower.";
  if (canonical == "vision.patch") return vision + "patch_conv.weight";
  if (canonical == "vision.norm") return vision + "ln_pre.weight";
  if (canonical == "text.output" && !native) return "language_model.lm_head.weight";
  if (canonical.starts_with("projector.")) return spell_in(kProjector, canonical, native) + ".weight";
  if (std::string single = spell_in(kTextSingle, canonical, native); !single.empty()) return text + single + ".weight";
  const size_t first = canonical.find('.'), second = canonical.find('.', first + 1);
  if (second == std::string::npos) return canonical;
  const bool is_text = canonical.starts_with("text.");
  const std::string part = canonical.substr(second + 1);
  return fmt::format("{}layers.{}.{}.weight", is_text ? text : vision + "transformer.",
                     canonical.substr(first + 1, second - first - 1),
                     is_text ? spell_in(kTextLayer, part, native) : spell_in(kVisionLayer, part, native));
}

}  // namespace

SafetensorsName parse_safetensors_name(std::string_view name) {
  if (name.find("fake_quantizer") != std::string_view::npos || name.ends_with(".rotary_emb.inv_freq")) {
    return {Role::skipped, {}};
  }
  for (const Suffix& suffix : kSuffixes) {
    if (!name.ends_with(suffix.text)) continue;
    std::string canonical = module_name(name.substr(0, name.size() - suffix.text.size()));
    if (canonical.empty()) return {};
    return {suffix.role, std::move(canonical)};
  }
  return {};
}

std::string spell_safetensors_name(const std::string& canonical) { return spell(canonical, false); }
std::string spell_native_name(const std::string& canonical) { return spell(canonical, true); }

}  // namespace lancet
