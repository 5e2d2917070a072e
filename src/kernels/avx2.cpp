// The AVX2 table. It wants FMA and F16C too.
#include "kernels/tables.h"

#ifdef LANCET_X86_TABLES

#include "kernels/attention_avx2.h"
#include "kernels/attention_tile.h"
#include "kernels/exact_product.h"
#include "kernels/panel_prepare.h"
#include "kernels/quantise_avx2.h"
#include "kernels/vec_avx2.h"
#include "kernels/vector_ops.h"

namespace lancet {

constinit const KernelTable kAvx2Table = {
    .name = "avx2",
    .exact = {exact_product<Avx2, Format::f32>, exact_product<Avx2, Format::f16>, exact_product<Avx2, Format::bf16>,
              exact_product<Avx2, Format::f8_e4m3>, exact_product<Avx2, Format::q4_0>,
              exact_product<Avx2, Format::q4_1>, exact_product<Avx2, Format::q5_0>, exact_product<Avx2, Format::q5_1>,
              exact_product<Avx2, Format::q8_0>, exact_product<Avx2, Format::q2_k>, exact_product<Avx2, Format::q3_k>,
              exact_product<Avx2, Format::q4_k>, exact_product<Avx2, Format::q5_k>, exact_product<Avx2, Format::q6_k>,
              exact_product<Avx2, Format::iq4_nl>, exact_product<Avx2, Format::iq4_xs>},
    .panel = {{},
              {Arithmetic::f32, avx2_multiply_f16, avx2_pack_f16},
              {Arithmetic::f32, avx2_multiply_bf16, avx2_pack_bf16},
              {Arithmetic::f32, avx2_multiply_f8, avx2_pack_f8},
              {Arithmetic::int8, avx2_multiply_q4_0, avx2_pack_q4_0},
              {Arithmetic::int8, avx2_multiply_q4_1, avx2_pack_q4_1},
              {},
              {},
              {Arithmetic::int8, avx2_multiply_q8_0, avx2_pack_q8_0},
              {},
              {},
              {Arithmetic::int8, avx2_multiply_q4_k, avx2_pack_q4_k},
              {Arithmetic::int8, avx2_multiply_q5_k, avx2_pack_q5_k},
              {Arithmetic::int8, avx2_multiply_q6_k, avx2_pack_q6_k}},
    .panel_tokens = 6,
    .prepare = {prepare_f32, nullptr, prepare_int8<quantise_block>},  // no panel product here wants bf16
    .quantise = quantise,
    .dot_f32 = dot_f32<Avx2>,
    .axpy_f32 = axpy_f32<Avx2>,
    .rms_norm = rms_norm<Avx2>,
    .silu_mul = silu_mul<Avx2>,
    .exp_sum = exp_sum<Avx2>,
    .attend = {attend<AttentionAvx2, KvF32>, attend<AttentionAvx2, KvF16>, attend<AttentionAvx2, KvQ8>},
    .quantise_wide = quantise_wide<AttentionAvx2>,
};

}  // namespace lancet

#endif
