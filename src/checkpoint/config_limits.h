// What a configuration value may be, by our name for it. One table for every reader, so that a number that no model
// has is refused with the same words wherever it stands, before anything is divided by it or allocated for it.
#pragma once

#include <string>
#include <string_view>

#include "checkpoint/model_config.h"

namespace lancet {

struct ConfigRange {
  std::string_view name;  // "text.layers"
  double low, high;       // both allowed
};

/// The row of the table; the name must be in it.
const ConfigRange& config_range(std::string_view name);

/// Throws Error{bad_file} if single values are in range but do not fit together (heads and kv heads, even head
/// widths).
void check_config(const ModelConfig&, const std::string& source);

/// The YaRN magnitude m(scale, k) = 0.1 * k * ln(scale) + 1, and 1 up to scale 1.
/// Source: transformers modeling_rope_utils.py, get_mscale.
double yarn_magnitude(double scale, double k);

}  // namespace lancet
