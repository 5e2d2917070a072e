// Rotary frequencies of a model.
#pragma once

#include "backend/backend.h"
#include "checkpoint/model_config.h"

namespace lancet {

/// The table that Backend::rope wants, for heads of `head_width` (even) and positions below `positions`.
RopeTable make_rope_table(const RopeConfig&, int head_width, int positions);

}  // namespace lancet
