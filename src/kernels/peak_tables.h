// The peaks of each instruction set; peaks.cpp chooses. Callers outside kernels/ include peaks.h only.
#pragma once

#include "kernels/peaks.h"
#include "kernels/tables.h"

namespace lancet {

#ifdef LANCET_X86_TABLES
extern const Peaks kAvx2Peaks, kAvx512Peaks, kAvx512Bf16Peaks;
#endif

}  // namespace lancet
