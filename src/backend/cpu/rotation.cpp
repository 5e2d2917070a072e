#include "backend/cpu/rotation.h"

#include <cmath>

#include "base/check.h"

namespace lancet {
namespace {

/// The magnitude of a row's cos and sin, with the position-dependent scale of the queries in it.
/// Source: transformers, models/ministral3/modeling_ministral3.py, get_llama_4_attn_scale.
double magnitude_at(const RopeTable& table, int position, bool queries) {
  if (!queries || table.query_scale_beta == 0 || table.original_context <= 0) return table.magnitude;
  return table.magnitude * (1 + table.query_scale_beta * std::log1p(position / table.original_context));
}

/// Pairs (i, i + half) of one head.
void turn_halves(float* __restrict first, float* __restrict second, const float* __restrict cos_sin, int half) {
  const float* cosine = cos_sin;
  const float* sine = cos_sin + half;
  for (int i = 0; i < half; i++) {
    const float a = first[i], b = second[i];
    first[i] = a * cosine[i] - b * sine[i];
    second[i] = b * cosine[i] + a * sine[i];
  }
}

/// Pairs (2i, 2i + 1) of one head.
void turn_neighbours(float* __restrict head, const float* __restrict cos_sin, int half) {
  const float* cosine = cos_sin;
  const float* sine = cos_sin + half;
  for (int i = 0; i < half; i++) {
    const float a = head[2 * i], b = head[2 * i + 1];
    head[2 * i] = a * cosine[i] - b * sine[i];
    head[2 * i + 1] = b * cosine[i] + a * sine[i];
  }
}

}  // namespace

const float* Rotation::angles(CpuCore& core, const Batch& batch, const RopeTable& table, bool queries) {
  for (const Angles& known : made_) {
    if (known.table == &table && known.queries == queries) return known.cos_sin;
  }
  const int half = table.head_width / 2;
  float* cos_sin = core.arena.array<float>(static_cast<size_t>(batch.rows()) * static_cast<size_t>(table.head_width));
  for_each_row(core.pool, batch.rows(), int64_t{half} * 64, [&](int64_t row) {
    const int position = batch.positions[static_cast<size_t>(row)];
    const double magnitude = magnitude_at(table, position, queries);
    float* out = cos_sin + row * table.head_width;
    for (int i = 0; i < half; i++) {
      // In double: position * frequency is then exact, and no bit of the angle is lost at position 262,143.
      const double angle = static_cast<double>(position) * static_cast<double>(table.frequency[static_cast<size_t>(i)]);
      out[i] = static_cast<float>(std::cos(angle) * magnitude);
      out[half + i] = static_cast<float>(std::sin(angle) * magnitude);
    }
  });
  made_.push_back({&table, queries, cos_sin});
  return cos_sin;
}

void Rotation::apply(CpuCore& core, const Batch& batch, Matrix x, const RopeTable& table, bool queries) {
  const int width = table.head_width, half = width / 2;
  CHECK(x.rows == batch.rows() && x.cols % width == 0 && table.frequency.size() == static_cast<size_t>(half));
  const float* cos_sin = angles(core, batch, table, queries);
  for_each_row(core.pool, x.rows, x.cols, [&](int64_t row) {
    float* values = x.data + row * x.cols;
    const float* turn = cos_sin + row * width;
    for (float* head = values; head < values + x.cols; head += width) {
      if (table.interleaved) {
        turn_neighbours(head, turn, half);
      } else {
        turn_halves(head, head + half, turn, half);
      }
    }
  });
}

}  // namespace lancet
