// Numbers to quantised blocks: the other direction of format.h's decoders.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/format.h"

namespace lancet {

/// Raised whenever quantise_row gives other bytes than before: what was quantised by another version is not used.
inline constexpr int kQuantiserVersion = 1;

/// Whether quantise_row knows the format.
bool can_quantise(Format);

/// Encodes a row of `cols` numbers (a multiple of the format's block) into row_bytes(format, cols) bytes.
/// `weights`, if not null: what a squared error in each column counts; finite, not negative. Deterministic; any thread.
/// Numbers that are not finite become 0.
void quantise_row(Format, const float* values, int64_t cols, std::byte* to, const float* weights = nullptr);

}  // namespace lancet
