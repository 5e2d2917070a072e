// The AVX-512 tables. They want VNNI (int8 dot products) and VBMI (byte look-ups) besides the basics. Numbers of 8 and
// 16 bits are multiplied in f32 by one and by bf16 dot products in the other: which is faster depends on the CPU.
#include "kernels/tables.h"

#ifdef LANCET_X86_TABLES

#include "kernels/gcc12_intrinsics.h"

#include "kernels/attention_avx512.h"
#include "kernels/attention_tile.h"
#include "kernels/exact_product.h"
#include "kernels/panel_prepare.h"
#include "kernels/quantise_avx512.h"
#include "kernels/vec_avx512.h"
#include "kernels/vector_ops.h"

namespace lancet {

namespace {

constexpr KernelTable kTable = {
    .name = "avx512",
    .exact = {exact_product<Avx512, Format::f32>, exact_product<Avx512, Format::f16>,
              exact_product<Avx512, Format::bf16>, exact_product<Avx512, Format::f8_e4m3>,
              exact_product<Avx512, Format::q4_0>, exact_product<Avx512, Format::q4_1>,
              exact_product<Avx512, Format::q5_0>, exact_product<Avx512, Format::q5_1>,
              exact_product<Avx512, Format::q8_0>, exact_product<Avx512, Format::q2_k>,
              exact_product<Avx512, Format::q3_k>, exact_product<Avx512, Format::q4_k>,
              exact_product<Avx512, Format::q5_k>, exact_product<Avx512, Format::q6_k>,
              exact_product<Avx512, Format::iq4_nl>, exact_product<Avx512, Format::iq4_xs>},
    .panel = {{},
              {Arithmetic::f32, avx512_multiply_f16, avx512_pack_f16},
              {Arithmetic::f32, avx512_multiply_bf16, avx512_pack_bf16},
              {Arithmetic::f32, avx512_multiply_f8, avx512_pack_f8},
              {Arithmetic::int8, avx512_multiply_q4_0, avx512_pack_q4_0},
              {Arithmetic::int8, avx512_multiply_q4_1, avx512_pack_q4_1},
              {},
              {},
              {Arithmetic::int8, avx512_multiply_q8_0, avx512_pack_q8_0},
              {},
              {},
              {Arithmetic::int8, avx512_multiply_q4_k, avx512_pack_q4_k},
              {Arithmetic::int8, avx512_multiply_q5_k, avx512_pack_q5_k},
              {Arithmetic::int8, avx512_multiply_q6_k, avx512_pack_q6_k}},
    .panel_tokens = 12,
    .prepare = {prepare_f32, nullptr, prepare_int8<quantise_block>},
    .quantise = quantise,
    .dot_f32 = dot_f32<Avx512>,
    .axpy_f32 = axpy_f32<Avx512>,
    .rms_norm = rms_norm<Avx512>,
    .silu_mul = silu_mul<Avx512>,
    .exp_sum = exp_sum<Avx512>,
    .attend = {attend<AttentionAvx512, KvF32>, attend<AttentionAvx512, KvF16>, attend<AttentionAvx512, KvQ8>},
    .quantise_wide = quantise_wide<AttentionAvx512>,
};

constexpr KernelTable with_bf16(KernelTable table) {
  table.name = "avx512bf16";
  table.panel[static_cast<int>(Format::bf16)] = {Arithmetic::bf16, avx512bf16_multiply_bf16, avx512_pack_bf16};
  table.panel[static_cast<int>(Format::f8_e4m3)] = {Arithmetic::bf16, avx512bf16_multiply_f8, avx512_pack_f8};
  table.prepare[static_cast<int>(Arithmetic::bf16)] = avx512bf16_prepare;
  return table;
}

}  // namespace

constinit const KernelTable kAvx512Table = kTable;
constinit const KernelTable kAvx512Bf16Table = with_bf16(kTable);

}  // namespace lancet

#endif
