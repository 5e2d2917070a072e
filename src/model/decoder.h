// The decoder that most text models are: RMS norm, grouped-query attention with rotary positions, gated SiLU. What sets
// Ministral 3 and Llama apart is in their RopeConfig alone, so one class is both.
#pragma once

#include <memory>

#include "model/model.h"

namespace lancet {

/// Throws Error{bad_file} if a tensor is missing, of another shape, or the head counts do not divide.
std::unique_ptr<Model> load_decoder(const Checkpoint&, Backend&);

}  // namespace lancet
