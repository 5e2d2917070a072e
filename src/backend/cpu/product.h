// Activations times weights, split over the pool.
#pragma once

#include <span>

#include "backend/backend.h"
#include "backend/cpu/cpu_core.h"

namespace lancet {

/// product.out[t, o] = sum_i weight[o, i] * x[t, i] for each product, FP8 scales included. The activations are prepared
/// once for all of them. Of a product with `only`, the panels of 16 rows are computed that these rows are in. Every
/// element is summed in an order that the weight's format and the kernel table fix, so it depends on neither the other
/// rows nor the number of threads.
void multiply(CpuCore& core, Matrix x, std::span<const Product> products);

/// Decodes row `row` of a weight to f32, FP8 scale included. out: [weight.cols].
void decode_row(const Weight& weight, int64_t row, float* out);

}  // namespace lancet
