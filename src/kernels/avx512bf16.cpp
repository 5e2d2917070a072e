// What the AVX-512 table for CPUs with fast bf16 dot products does with them: panel products and their activations.
#include "kernels/tables.h"

#ifdef LANCET_X86_TABLES

#include "kernels/gcc12_intrinsics.h"

#include "kernels/panel_bf16_avx512.h"
#include "kernels/panel_prepare.h"

namespace lancet {

void avx512bf16_prepare(const PrepareGroup& job) { prepare_bf16<round_to_bf16>(job); }
void avx512bf16_multiply_bf16(const PanelProduct& job) { panel_product<Bf16Panels<PanelBf16>>(job); }
void avx512bf16_multiply_f8(const PanelProduct& job) { panel_product<Bf16Panels<PanelF8>>(job); }

}  // namespace lancet

#endif
