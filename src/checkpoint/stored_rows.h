// A stored row as numbers: decoded, and multiplied with its scales.
#pragma once

#include <cstdint>
#include <span>

#include "checkpoint/checkpoint.h"

namespace lancet {

/// Multiplies a decoded row of a matrix with its scales, which may be none.
void scale_row(const ScaleGrid&, int64_t row, std::span<float> values);

/// `out` has as many numbers as the tensor has columns.
void decode_row(const StoredTensor&, int64_t row, std::span<float> out);

}  // namespace lancet
