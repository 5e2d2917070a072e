// Plain rotary frequencies, and YaRN's: fast-turning pairs keep their frequency, slow ones are divided by the context
// extension, a ramp lies between. Source: Peng et al., YaRN, 2023; in the details (truncation, the ramp of no width)
// transformers, modeling_rope_utils.py, _compute_yarn_parameters.
#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace lancet {
namespace {

/// The dimension whose frequency makes `turns` turns within the original context.
double dimension_of(double turns, const RopeConfig& config, int head_width) {
  return head_width * std::log(config.original_context / (turns * 2 * std::numbers::pi)) / (2 * std::log(config.theta));
}

struct Ramp {
  double low, high;
  /// 0: the pair keeps its frequency; 1: it is divided by the factor.
  double at(int pair) const { return std::clamp((pair - low) / (high - low), 0.0, 1.0); }
};

Ramp make_ramp(const RopeConfig& config, int head_width) {
  double low = dimension_of(config.beta_fast, config, head_width);
  double high = dimension_of(config.beta_slow, config, head_width);
  if (config.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, head_width - 1.0);
  if (low == high) high += 0.001;
  return {low, high};
}

}  // namespace

RopeTable make_rope_table(const RopeConfig& config, int head_width, int positions) {
  const bool yarn = config.kind == RopeConfig::Kind::yarn;
  RopeTable table{.head_width = head_width,
                  .positions = positions,
                  .interleaved = config.interleaved,
                  .frequency = {},
                  .magnitude = config.magnitude,
                  .query_scale_beta = config.query_scale_beta,
                  .original_context = config.original_context};
  const Ramp ramp = yarn ? make_ramp(config, head_width) : Ramp{0, 1};
  for (int pair = 0; pair < head_width / 2; pair++) {
    const double plain = std::pow(config.theta, -2.0 * pair / head_width);
    const double share = yarn ? ramp.at(pair) : 0.0;
    table.frequency.push_back(static_cast<float>(plain / config.factor * share + plain * (1 - share)));
  }
  return table;
}

}  // namespace lancet
