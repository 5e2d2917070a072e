// The AVX2 table's panel products with f32 activations.
#include "kernels/tables.h"

#ifdef LANCET_X86_TABLES

#include "kernels/panel_float_avx2.h"
#include "kernels/panel_pack_avx2.h"

namespace lancet {

void avx2_multiply_f16(const PanelProduct& job) { avx2_product<Avx2FloatPanels<Avx2F16>>(job); }
void avx2_multiply_bf16(const PanelProduct& job) { avx2_product<Avx2FloatPanels<Avx2Bf16>>(job); }
void avx2_multiply_f8(const PanelProduct& job) { avx2_product<Avx2FloatPanels<Avx2F8>>(job); }

void avx2_pack_f16(const PackPanel& job) { pack_whole<pack_f16_fast, pack_plain<Format::f16>, 16>(job); }
void avx2_pack_bf16(const PackPanel& job) { pack_whole<pack_bf16_fast, pack_plain<Format::bf16>, 16>(job); }
void avx2_pack_f8(const PackPanel& job) { pack_whole<pack_f8_fast, pack_f8, 32>(job); }

}  // namespace lancet

#endif
