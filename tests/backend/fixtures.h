// Stored tensors with random content, and their values the slow way.
#pragma once

#include <cstring>
#include <vector>

#include "backend/backend.h"
#include "base/random.h"

namespace lancet::test {

/// Owns the bytes behind a StoredTensor.
struct OwnedTensor {
  StoredTensor stored;
  std::vector<std::byte> bytes;

  /// What the tensor says, scales included.
  double at(int64_t row, int64_t col) const {
    double value = values[static_cast<size_t>(row * stored.cols + col)];
    const ScaleGrid& scale = stored.scale;
    if (scale.values.empty()) return value;
    const int64_t col_blocks = (stored.cols + scale.col_block - 1) / scale.col_block;
    return value * scale.values[static_cast<size_t>(row / scale.row_block * col_blocks + col / scale.col_block)];
  }
  std::vector<float> values;  // decoded, without scales
};

inline std::vector<float> random_floats(int64_t count, uint64_t seed, float size = 1.0f) {
  Random random(seed);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& value : out) value = size * static_cast<float>(random.normal());
  return out;
}

/// A tensor of a plain number format, or q8_0. `shift` bytes of misalignment in front.
inline OwnedTensor random_tensor(Format format, int64_t rows, int64_t cols, uint64_t seed, size_t shift = 0) {
  OwnedTensor tensor;
  tensor.bytes.resize(static_cast<size_t>(rows * row_bytes(format, cols)) + shift);
  const std::vector<float> values = random_floats(rows * cols, seed);
  std::byte* out = tensor.bytes.data() + shift;
  const auto put = [&out](auto number) {
    std::memcpy(out, &number, sizeof number);
    out += sizeof number;
  };
  Random random(seed);
  for (size_t i = 0; i < values.size(); i++) {
    switch (format) {
      case Format::f32: put(values[i]); break;
      case Format::f16: put(f16_from_f32(values[i])); break;
      case Format::bf16: put(bf16_from_f32(values[i])); break;
      case Format::f8_e4m3: put(e4m3_from_f32(values[i])); break;
      default:  // q8_0: a scale in front of every 32
        if (i % 32 == 0) put(f16_from_f32(0.01f + 0.01f * static_cast<float>(random.uniform())));
        put(static_cast<int8_t>(static_cast<int64_t>(random.below(255)) - 127));
    }
  }
  const auto view = std::span<const std::byte>(tensor.bytes).subspan(shift);
  tensor.stored = {.name = "text.test",
                   .file_name = "test",
                   .file = "test.safetensors",
                   .format = format,
                   .rows = rows,
                   .cols = cols,
                   .bytes = view,
                   .scale = {}};
  tensor.values.resize(values.size());
  const FormatInfo& info = format_info(format);
  info.decode(view.data(), tensor.values.data(), rows * cols / info.block_values);
  return tensor;
}

/// One sequence of `rows` rows that start at position `first`, in the given blocks.
inline Batch one_sequence(std::vector<TokenId> tokens, int first, std::vector<int32_t> blocks) {
  Batch batch;
  const int rows = static_cast<int>(tokens.size());
  for (int i = 0; i < rows; i++) {
    const int position = first + i;
    batch.positions.push_back(position);
    batch.slots.push_back(blocks.at(static_cast<size_t>(position / kBlockTokens)) * kBlockTokens +
                          position % kBlockTokens);
  }
  batch.tokens = std::move(tokens);
  batch.blocks = std::move(blocks);
  batch.sequences = {{.first_row = 0, .rows = rows, .context = first + rows, .first_block = 0}};
  return batch;
}

/// Rows without a sequence, for operations that need none.
inline Batch bare_rows(int rows, int first_position = 0) {
  Batch batch;
  for (int i = 0; i < rows; i++) {
    batch.tokens.push_back(0);
    batch.positions.push_back(first_position + i);
    batch.slots.push_back(0);
  }
  return batch;
}

inline Matrix filled(Backend& backend, int rows, int cols, const std::vector<float>& values) {
  const Matrix matrix = backend.scratch(rows, cols);
  std::memcpy(matrix.data, values.data(), values.size() * sizeof(float));
  return matrix;
}

}  // namespace lancet::test
