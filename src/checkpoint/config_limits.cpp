// The table of ranges, and the rules between values.
#include "checkpoint/config_limits.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"

namespace lancet {
namespace {

constexpr double kPositions = 1 << 27;

// Bounds are a few times what the largest published models have; their products stay far inside 64 bits.
constexpr ConfigRange kRanges[] = {
    {"text.layers", 1, 1024},
    {"text.hidden", 1, 131072},
    {"text.heads", 1, 1024},
    {"text.kv_heads", 1, 1024},
    {"text.head_width", 2, 1024},
    {"text.ffn", 1, 1 << 20},
    {"text.vocabulary", 1, 1 << 24},
    {"text.context", 1, kPositions},
    {"text.norm_epsilon", 1e-12, 0.1},
    {"text.rope.theta", 1, 1e15},
    {"text.rope.factor", 1, 4096},
    {"text.rope.beta_fast", 1e-3, 1e6},
    {"text.rope.beta_slow", 1e-3, 1e6},
    {"text.rope.original_context", 1, kPositions},
    {"text.rope.mscale", 0, 100},
    {"text.rope.mscale_all_dim", 0, 100},
    {"text.rope.magnitude", 1e-3, 1e3},
    {"text.rope.query_scale_beta", 0, 100},
    {"vision.layers", 1, 1024},
    {"vision.hidden", 1, 65536},
    {"vision.heads", 1, 1024},
    {"vision.head_width", 4, 1024},
    {"vision.ffn", 1, 1 << 20},
    {"vision.patch", 1, 256},
    {"vision.image_size", 1, 16384},
    {"vision.merge", 1, 16},
    {"vision.rope_theta", 1, 1e15},
};

[[noreturn]] void fail(const std::string& source, const std::string& problem) {
  throw Error(Fault::bad_file, source + ": " + problem);
}

}  // namespace

const ConfigRange& config_range(std::string_view name) {
  const auto* row = std::find_if(std::begin(kRanges), std::end(kRanges), [&](const auto& r) { return r.name == name; });
  CHECK(row != std::end(kRanges));
  return *row;
}

void check_config(const ModelConfig& config, const std::string& source) {
  const TextConfig& text = config.text;
  if (text.heads % text.kv_heads != 0) {
    fail(source, fmt::format("{} attention heads cannot share {} key-value heads: wanted a divisor", text.heads,
                             text.kv_heads));
  }
  if (text.head_width % 2 != 0) {
    fail(source, fmt::format("the head width is {}, wanted an even number: rotary pairs need it", text.head_width));
  }
  if (text.rope.kind == RopeConfig::Kind::yarn && text.rope.beta_fast < text.rope.beta_slow) {
    fail(source, fmt::format("YaRN's beta_fast {} is below beta_slow {}", text.rope.beta_fast, text.rope.beta_slow));
  }
  if (text.rope.kind == RopeConfig::Kind::yarn && text.rope.theta <= 1.0) {
    fail(source, fmt::format("YaRN needs a rope theta above 1, found {}", text.rope.theta));
  }
  if (!config.vision) return;
  const VisionConfig& vision = *config.vision;
  if (vision.head_width % 4 != 0) {
    fail(source, fmt::format("the vision head width is {}, wanted a multiple of 4: rows and columns take half of its "
                             "rotary pairs each",
                             vision.head_width));
  }
  if (static_cast<int64_t>(vision.heads) * vision.head_width != vision.hidden) {
    fail(source, fmt::format("{} vision heads of width {} do not make the hidden size {}", vision.heads,
                             vision.head_width, vision.hidden));
  }
  if (vision.image_size < vision.patch * vision.merge) {
    fail(source, fmt::format("an image of {} pixels is smaller than one merged patch of {}", vision.image_size,
                             vision.patch * vision.merge));
  }
}

double yarn_magnitude(double scale, double k) { return scale <= 1.0 ? 1.0 : 0.1 * k * std::log(scale) + 1.0; }

}  // namespace lancet
