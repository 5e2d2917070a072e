// The tables that dispatch.cpp chooses from; one file fills each.
#pragma once

#include "kernels/kernels.h"

namespace lancet {

extern const KernelTable kScalarTable;
#if defined(__x86_64__)
#define LANCET_X86_TABLES 1
extern const KernelTable kAvx2Table;        // AVX2, FMA, F16C
extern const KernelTable kAvx512Table;      // AVX-512 F, BW, DQ, VL, VNNI, VBMI
extern const KernelTable kAvx512Bf16Table;  // and BF16
// Panels of a table that fill other files. They are functions: a table that copied objects of another file would be
// filled when the program starts, by instructions that the CPU may lack.
using MultiplyPanels = void(const PanelProduct&);
using PackOnePanel = void(const PackPanel&);
MultiplyPanels avx2_multiply_f16, avx2_multiply_bf16, avx2_multiply_f8, avx2_multiply_q4_0, avx2_multiply_q4_1,
    avx2_multiply_q8_0, avx2_multiply_q4_k, avx2_multiply_q5_k, avx2_multiply_q6_k;
PackOnePanel avx2_pack_f16, avx2_pack_bf16, avx2_pack_f8, avx2_pack_q4_0, avx2_pack_q4_1, avx2_pack_q8_0,
    avx2_pack_q4_k, avx2_pack_q5_k, avx2_pack_q6_k;
MultiplyPanels avx512_multiply_f16, avx512_multiply_bf16, avx512_multiply_f8, avx512_multiply_q4_0,
    avx512_multiply_q4_1, avx512_multiply_q8_0, avx512_multiply_q4_k, avx512_multiply_q5_k, avx512_multiply_q6_k;
MultiplyPanels avx512bf16_multiply_bf16, avx512bf16_multiply_f8;
void avx512bf16_prepare(const PrepareGroup&);
PackOnePanel avx512_pack_f16, avx512_pack_bf16, avx512_pack_f8, avx512_pack_q4_0, avx512_pack_q4_1, avx512_pack_q8_0,
    avx512_pack_q4_k, avx512_pack_q5_k, avx512_pack_q6_k;
#endif

}  // namespace lancet
