// Counts what this test program takes through operator new, so that a test can bound what a hostile file makes it take.
#pragma once

#include <cstddef>

namespace lancet::test {

/// The largest number of bytes that were live at once since the last reset, beyond those live at the reset.
size_t allocation_peak();
void reset_allocation_peak();

}  // namespace lancet::test
