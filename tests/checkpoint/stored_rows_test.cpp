// Scales of every block shape: what a column's number is multiplied with, looked up one by one.
#include "checkpoint/stored_rows.h"

#include <gtest/gtest.h>

namespace lancet {
namespace {

TEST(StoredRows, EveryNumberIsMultipliedWithTheScaleOfItsBlock) {
  constexpr int64_t kRows = 5, kCols = 7;
  for (const int64_t row_block : {1, 2, 5}) {
    for (const int64_t col_block : {1, 3, 7, 16}) {
      ScaleGrid scale;
      scale.row_block = row_block, scale.col_block = col_block;
      const int64_t across = (kCols + col_block - 1) / col_block, down = (kRows + row_block - 1) / row_block;
      for (int64_t i = 0; i < across * down; i++) scale.values.push_back(static_cast<float>(i) + 0.5f);
      for (int64_t row = 0; row < kRows; row++) {
        std::vector<float> values(kCols, 2.0f);
        scale_row(scale, row, values);
        for (int64_t col = 0; col < kCols; col++) {
          const auto block = static_cast<size_t>(row / row_block * across + col / col_block);
          EXPECT_EQ(values[static_cast<size_t>(col)], 2.0f * scale.values[block]) << row << " " << col;
        }
      }
    }
  }
}

TEST(StoredRows, AreDecodedAndScaled) {
  const std::vector<std::byte> codes(4 * 4, std::byte{e4m3_from_f32(1)});
  const StoredTensor tensor{
      .format = Format::f8_e4m3, .rows = 4, .cols = 4, .bytes = codes, .scale = {2, 3, {1, 2, 3, 4}}};
  std::vector<float> row(4);
  decode_row(tensor, 3, row);
  EXPECT_EQ(row, (std::vector<float>{3, 3, 3, 4}));
}

}  // namespace
}  // namespace lancet
