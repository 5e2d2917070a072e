#include "backend/cpu/panel_slot.h"

#include <algorithm>

#include "backend/cpu/product.h"
#include "base/quantise.h"

namespace lancet {

int64_t pack_scratch_bytes(const Weight& weight, const PanelSlot& slot) {
  if (slot.format == weight.format) return 0;
  const int64_t row = int64_t{weight.cols} * 4 + 63;
  return (kPanelRows * row_bytes(slot.format, weight.cols) + row) / 64 * 64;
}

void pack_panel(const KernelTable& kernels, const Weight& weight, const PanelSlot& slot, int64_t panel,
                std::byte* scratch, std::byte* to) {
  const int64_t first = panel * kPanelRows;
  const int64_t stride = row_bytes(slot.format, weight.cols);
  PackPanel job{.rows = weight.data + first * stride,
                .row_stride = stride,
                .row_count = static_cast<int>(std::min<int64_t>(kPanelRows, weight.rows - first)),
                .cols = weight.cols,
                .panel = to};
  if (slot.format != weight.format) {
    auto* values = reinterpret_cast<float*>(scratch);
    std::byte* rows = scratch + (int64_t{weight.cols} * 4 + 63) / 64 * 64;
    for (int r = 0; r < job.row_count; r++) {
      decode_row(weight, first + r, values);
      quantise_row(slot.format, values, weight.cols, rows + r * stride);
    }
    job.rows = rows;
  }
  kernels.panel[static_cast<int>(slot.format)].pack(job);
}

}  // namespace lancet
