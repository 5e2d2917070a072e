// A weight's panels: where products find them, packed or not.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "backend/backend.h"
#include "kernels/kernels.h"

namespace lancet {

/// The panels of one weight. Until they are packed, a product packs what it needs as it goes: the same panels, so the
/// same results.
struct PanelSlot {
  Format format = Format::f32;  // of the panels: the weight's own, or what it is quantised to
  int64_t bytes = 0;            // of one panel
  /// All panels, 64-byte aligned; null until they are packed. Release/acquire publishes them.
  std::atomic<const std::byte*> data = nullptr;
};

/// Bytes of scratch, 64-byte aligned, that pack_panel needs for this weight.
int64_t pack_scratch_bytes(const Weight&, const PanelSlot&);

/// Writes panel number `panel` of a weight: rows panel * 16 to panel * 16 + 15. Any thread.
void pack_panel(const KernelTable&, const Weight&, const PanelSlot&, int64_t panel, std::byte* scratch, std::byte* to);

}  // namespace lancet
