// What is usually wrong with a model that loads and talks noise, as changes that would mend it: conversions forget to
// permute, to transpose or to exchange, and configurations are written by hand.
#include <fmt/format.h>

#include "cli/doctor_model.h"

namespace lancet {
namespace {

constexpr const char* kConvert = "take another conversion of the model, or convert it again";
constexpr const char* kConfig = "take the configuration from the model's own repository";

std::string part(int layer, const char* name) { return fmt::format("text.{}.{}", layer, name); }

/// One change of every layer, or of one; false if it applies to none.
using LayerChange = std::function<bool(AlteredCheckpoint&, int layer)>;

struct LayerFault {
  const char *cause, *text;
  LayerChange change;
};

LayerChange exchange(const char* a, const char* b) {
  return [a, b](AlteredCheckpoint& model, int layer) { return model.exchange(part(layer, a), part(layer, b)); };
}

LayerChange transpose(const char* name) {
  return [name](AlteredCheckpoint& model, int layer) { return model.transpose(part(layer, name)); };
}

std::vector<LayerFault> layer_faults() {
  return {
      {"gate-and-up-swapped", "ffn.gate and ffn.up are exchanged", exchange("ffn.gate", "ffn.up")},
      {"keys-and-values-swapped", "attention.k and attention.v are exchanged", exchange("attention.k", "attention.v")},
      {"norms-swapped", "the norms before attention and feed-forward are exchanged",
       exchange("attention_norm", "ffn_norm")},
      {"transposed", "attention.o is transposed", transpose("attention.o")},
      {"transposed", "attention.q is transposed", transpose("attention.q")}};
}

void add_rope(std::vector<Hypothesis>& out, const TextConfig& text) {
  out.push_back(
      {"rotary-pairs",
       "the rows of q and k are in the other rotary order: a converter's permutation is missing or was done twice",
       kConvert,
       [](AlteredCheckpoint& model) {
         bool& interleaved = model.config_to_change().text.rope.interleaved;
         interleaved = !interleaved;
         return true;
       },
       true});
  if (text.rope.kind == RopeConfig::Kind::yarn && text.rope.factor > 1)
    out.push_back(
        {"yarn", fmt::format("yarn stretches positions by {:g}, and the weights know nothing of it", text.rope.factor),
         kConfig,
         [](AlteredCheckpoint& model) {
           model.config_to_change().text.rope.kind = RopeConfig::Kind::plain;
           return true;
         },
         true});
  for (const double theta : {1e4, 1e5, 5e5, 1e6, 1e7, 1e8, 1e9}) {
    const double ratio = theta / text.rope.theta;
    if (ratio > 0.5 && ratio < 2) continue;
    out.push_back(
        {"rope-theta",
         fmt::format("rope theta is {:g}, and the weights were trained with about {:g}", text.rope.theta, theta),
         kConfig,
         [theta](AlteredCheckpoint& model) {
           model.config_to_change().text.rope.theta = theta;
           return true;
         },
         ratio > 0.009 && ratio < 110});
  }
}

void add_head_widths(std::vector<Hypothesis>& out, const TextConfig& text) {
  const int q = text.heads * text.head_width, kv = text.kv_heads * text.head_width;
  for (const int width : {32, 64, 80, 96, 128, 256}) {
    if (width == text.head_width || q % width != 0 || kv % width != 0 || q / width % (kv / width) != 0) continue;
    out.push_back({"head-width",
                   fmt::format("heads are {} wide in the configuration and {} in the weights", text.head_width, width),
                   kConfig, [=](AlteredCheckpoint& model) {
                     TextConfig& changed = model.config_to_change().text;
                     changed.head_width = width;
                     changed.heads = q / width;
                     changed.kv_heads = kv / width;
                     return true;
                   }});
  }
}

/// Exchanges the layers in the mirror: the order of a file read from its end.
bool reverse_layers(AlteredCheckpoint& model, int layers) {
  bool changed = false;
  for (int low = 0, high = layers - 1; low < high; low++, high--)
    for (const char* name : {"attention_norm", "attention.q", "attention.k", "attention.v", "attention.o", "ffn_norm",
                             "ffn.gate", "ffn.up", "ffn.down"})
      changed = model.exchange(part(low, name), part(high, name)) || changed;
  return changed;
}

}  // namespace

std::vector<Hypothesis> whole_model_hypotheses(const Checkpoint& checkpoint) {
  const TextConfig& text = checkpoint.config().text;
  const int layers = text.layers;
  std::vector<Hypothesis> out;
  add_rope(out, text);
  add_head_widths(out, text);
  for (const LayerFault& fault : layer_faults())
    out.push_back({fault.cause, fmt::format("in all layers {}", fault.text), kConvert,
                   [layers, change = fault.change](AlteredCheckpoint& model) {
                     for (int layer = 0; layer < layers; layer++)
                       if (!change(model, layer)) return false;
                     return true;
                   }});
  out.push_back({"layers-swapped", "the layers are in reverse order", kConvert,
                 [layers](AlteredCheckpoint& model) { return reverse_layers(model, layers); }});
  out.push_back({"norm-epsilon", fmt::format("the norms' epsilon is {:g}, and should be about 1e-5", text.norm_epsilon),
                 kConfig, [](AlteredCheckpoint& model) {
                   double& epsilon = model.config_to_change().text.norm_epsilon;
                   if (epsilon > 1e-7 && epsilon < 1e-4) return false;
                   epsilon = 1e-5;
                   return true;
                 }});
  return out;
}

std::vector<Hypothesis> single_layer_hypotheses(const Checkpoint& checkpoint) {
  std::vector<Hypothesis> out;
  for (const LayerFault& fault : layer_faults())
    for (int layer = 0; layer < checkpoint.config().text.layers; layer++)
      out.push_back({fault.cause, fmt::format("in layer {} {}", layer, fault.text), kConvert,
                     [layer, change = fault.change](AlteredCheckpoint& model) { return change(model, layer); }});
  return out;
}

}  // namespace lancet
