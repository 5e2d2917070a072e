// The AVX-512 table. It wants VNNI (int8 dot products) and VBMI (byte look-ups) besides the basics.
#include "kernels/tables.h"

#ifdef LANCET_X86_TABLES

// g++ 12 takes the deliberately undefined operands inside its own intrinsics for a mistake of ours (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include "kernels/exact_product.h"
#include "kernels/int8_avx512.h"
#include "kernels/vec_avx512.h"
#include "kernels/vector_ops.h"
#include "kernels/weighted_sum.h"

namespace lancet {

const KernelTable kAvx512Table = {
    .name = "avx512",
    .exact = {exact_product<Avx512, Format::f32>, exact_product<Avx512, Format::f16>,
              exact_product<Avx512, Format::bf16>, exact_product<Avx512, Format::f8_e4m3>,
              exact_product<Avx512, Format::q4_0>, exact_product<Avx512, Format::q4_1>,
              exact_product<Avx512, Format::q5_0>, exact_product<Avx512, Format::q5_1>,
              exact_product<Avx512, Format::q8_0>, exact_product<Avx512, Format::q2_k>,
              exact_product<Avx512, Format::q3_k>, exact_product<Avx512, Format::q4_k>,
              exact_product<Avx512, Format::q5_k>, exact_product<Avx512, Format::q6_k>,
              exact_product<Avx512, Format::iq4_nl>, exact_product<Avx512, Format::iq4_xs>},
    .int8 = {nullptr, nullptr, nullptr, nullptr, int8_product<ReadQ4_0>, int8_product<ReadQ4_1>, nullptr, nullptr,
             int8_product<ReadQ8_0>, nullptr, nullptr, int8_product<ReadQ4_K>, int8_product<ReadQ5_K>},
    .quantise = quantise,
    .dot_f32 = dot_f32<Avx512>,
    .dot_f16 = dot_f16<Avx512>,
    .axpy_f32 = axpy_f32<Avx512>,
    .store_f16 = store_f16<Avx512>,
    .load_f16 = load_f16<Avx512>,
    .load_q8 = load_q8<Avx512>,
    .rms_norm = rms_norm<Avx512>,
    .silu_mul = silu_mul<Avx512>,
    .exp_sum = exp_sum<Avx512>,
    .maximum = maximum<Avx512>,
    .weighted_sum = weighted_sum<Avx512>,
};

}  // namespace lancet

#endif
