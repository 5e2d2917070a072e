#include "checkpoint/stored_rows.h"

#include <algorithm>

namespace lancet {

void scale_row(const ScaleGrid& scale, int64_t row, std::span<float> values) {
  if (scale.values.empty()) return;
  const auto cols = static_cast<int64_t>(values.size());
  const int64_t blocks = (cols - 1) / scale.col_block + 1;
  const float* scales = scale.values.data() + row / scale.row_block * blocks;
  for (int64_t block = 0; block < blocks; block++) {
    const int64_t begin = block * scale.col_block, end = begin + std::min(scale.col_block, cols - begin);
    for (int64_t col = begin; col < end; col++) values[static_cast<size_t>(col)] *= scales[block];
  }
}

void decode_row(const StoredTensor& tensor, int64_t row, std::span<float> out) {
  const FormatInfo& info = format_info(tensor.format);
  info.decode(tensor.bytes.data() + row * row_bytes(tensor.format, tensor.cols), out.data(),
              tensor.cols / info.block_values);
  scale_row(tensor.scale, row, out);
}

}  // namespace lancet
