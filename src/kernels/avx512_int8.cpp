// The AVX-512 table's panel products with int8 activations.
#include "kernels/tables.h"

#ifdef LANCET_X86_TABLES

#include "kernels/gcc12_intrinsics.h"

#include "kernels/panel_int8_avx512.h"
#include "kernels/panel_pack_avx512.h"

namespace lancet {

void avx512_multiply_q4_0(const PanelProduct& job) { panel_product<Int8Panels<PanelNibbles<Format::q4_0>>>(job); }
void avx512_multiply_q4_1(const PanelProduct& job) { panel_product<Int8Panels<PanelNibbles<Format::q4_1>>>(job); }
void avx512_multiply_q8_0(const PanelProduct& job) { panel_product<Int8Panels<PanelQ8_0>>(job); }
void avx512_multiply_q4_k(const PanelProduct& job) { panel_product<Int8Panels<PanelQ4_K>>(job); }
void avx512_multiply_q5_k(const PanelProduct& job) { panel_product<Int8Panels<PanelQ5_K>>(job); }
void avx512_multiply_q6_k(const PanelProduct& job) { panel_product<Int8Panels<PanelQ6_K>>(job); }

void avx512_pack_q4_0(const PackPanel& job) {
  pack_whole<pack_nibbles_fast<Format::q4_0>, pack_blocks<Format::q4_0, pack_row_of_nibbles<Format::q4_0>>, 128>(job);
}
void avx512_pack_q4_1(const PackPanel& job) {
  pack_whole<pack_nibbles_fast<Format::q4_1>, pack_blocks<Format::q4_1, pack_row_of_nibbles<Format::q4_1>>, 128>(job);
}
void avx512_pack_q8_0(const PackPanel& job) {
  pack_whole<pack_q8_0_fast, pack_blocks<Format::q8_0, pack_row_of_q8_0>, 64>(job);
}
void avx512_pack_q4_k(const PackPanel& job) {
  pack_whole<pack_q4_k_fast, pack_blocks<Format::q4_k, pack_row_of_k<Format::q4_k>>, 256>(job);
}
void avx512_pack_q5_k(const PackPanel& job) { pack_blocks<Format::q5_k, pack_row_of_k<Format::q5_k>>(job); }
void avx512_pack_q6_k(const PackPanel& job) { pack_blocks<Format::q6_k, pack_row_of_q6_k>(job); }

}  // namespace lancet

#endif
