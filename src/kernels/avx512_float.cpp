// The AVX-512 tables' panel products with f32 activations.
#include "kernels/tables.h"

#ifdef LANCET_X86_TABLES

#include "kernels/gcc12_intrinsics.h"

#include "kernels/panel_fma_avx512.h"
#include "kernels/panel_pack_avx512.h"

namespace lancet {

void avx512_multiply_f16(const PanelProduct& job) { FmaPanels<FmaF16>::product(job); }
void avx512_multiply_bf16(const PanelProduct& job) { FmaPanels<FmaBf16>::product(job); }
void avx512_multiply_f8(const PanelProduct& job) { FmaPanels<FmaF8>::product(job); }

void avx512_pack_f16(const PackPanel& job) { pack_plain<Format::f16>(job); }
void avx512_pack_bf16(const PackPanel& job) { pack_whole<pack_bf16_fast, pack_plain<Format::bf16>, 32>(job); }
void avx512_pack_f8(const PackPanel& job) { pack_whole<pack_f8_fast, pack_f8, 64>(job); }

}  // namespace lancet

#endif
