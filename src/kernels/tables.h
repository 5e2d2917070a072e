// The tables that dispatch.cpp chooses from; one file fills each.
#pragma once

#include "kernels/kernels.h"

namespace lancet {

extern const KernelTable kScalarTable;
#if defined(__x86_64__)
#define LANCET_X86_TABLES 1
extern const KernelTable kAvx2Table;    // AVX2, FMA, F16C
extern const KernelTable kAvx512Table;  // AVX-512 F, BW, DQ, VL, VNNI, BF16, VBMI
#endif

}  // namespace lancet
