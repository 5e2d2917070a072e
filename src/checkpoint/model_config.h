// What a model is, in plain numbers, whatever file said so. Readers fill it; nothing above knows their keys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lancet {

/// Rotary position embedding. Source of the formulas: docs/ministral3.md, "Position".
struct RopeConfig {
  enum class Kind { plain, yarn };
  Kind kind = Kind::plain;
  double theta = 10000.0;
  double factor = 1.0;          // yarn: context extension
  double beta_fast = 32.0;      // yarn: turns above which a frequency is kept
  double beta_slow = 1.0;       // yarn: turns below which a frequency is divided by factor
  int original_context = 0;     // yarn, and the step of the query scale
  double magnitude = 1.0;       // factor on cos and sin, already worked out from mscale or attention_factor
  bool truncate = true;         // yarn: round the ramp's ends to whole dimensions
  double query_scale_beta = 0;  // queries times 1 + beta * ln(1 + floor(position / original_context)); 0: off
  bool interleaved = false;     // pairs (2i, 2i+1); else (i, i + width/2)
};

/// The text decoder.
struct TextConfig {
  int layers = 0;
  int hidden = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_width = 0;  // of q, k and v; not hidden / heads in general
  int ffn = 0;
  int vocabulary = 0;
  int context = 0;  // longest position the model was made for
  double norm_epsilon = 0;
  RopeConfig rope;
};

/// The vision tower (Pixtral).
struct VisionConfig {
  int layers = 0;
  int hidden = 0;
  int heads = 0;
  int head_width = 0;
  int ffn = 0;
  int patch = 0;
  int image_size = 0;  // longest edge
  int merge = 0;       // patches merged per side
  double rope_theta = 0;
  bool interleaved = false;
};

/// Where a value came from, for `lancet inspect`.
struct ConfigOrigin {
  std::string name;   // ours: "text.head_width"
  std::string value;  // as text
  std::string key;    // theirs: "text_config.head_dim"; "derived from ..." or "default" where no key said it
  std::string file;   // file name without folder
};

struct ModelConfig {
  std::string architecture;  // "ministral3" or "llama": a row of model/registry.cpp
  TextConfig text;
  std::optional<VisionConfig> vision;
  std::vector<ConfigOrigin> origins;
  std::vector<std::string> notes;  // unknown keys and oddities that were tolerated, one sentence each
};

}  // namespace lancet
