// The AVX2 table. It wants FMA and F16C too.
#include "kernels/tables.h"

#ifdef LANCET_X86_TABLES

#include "kernels/exact_product.h"
#include "kernels/int8_avx2.h"
#include "kernels/vec_avx2.h"
#include "kernels/vector_ops.h"
#include "kernels/weighted_sum.h"

namespace lancet {

const KernelTable kAvx2Table = {
    .name = "avx2",
    .exact = {exact_product<Avx2, Format::f32>, exact_product<Avx2, Format::f16>, exact_product<Avx2, Format::bf16>,
              exact_product<Avx2, Format::f8_e4m3>, exact_product<Avx2, Format::q4_0>,
              exact_product<Avx2, Format::q4_1>, exact_product<Avx2, Format::q5_0>, exact_product<Avx2, Format::q5_1>,
              exact_product<Avx2, Format::q8_0>, exact_product<Avx2, Format::q2_k>, exact_product<Avx2, Format::q3_k>,
              exact_product<Avx2, Format::q4_k>, exact_product<Avx2, Format::q5_k>, exact_product<Avx2, Format::q6_k>,
              exact_product<Avx2, Format::iq4_nl>, exact_product<Avx2, Format::iq4_xs>},
    .int8 = {nullptr, nullptr, nullptr, nullptr, int8_product<ReadQ4_0>, int8_product<ReadQ4_1>, nullptr, nullptr,
             int8_product<ReadQ8_0>, nullptr, nullptr, int8_product<ReadQ4_K>, int8_product<ReadQ5_K>},
    .quantise = quantise,
    .dot_f32 = dot_f32<Avx2>,
    .dot_f16 = dot_f16<Avx2>,
    .axpy_f32 = axpy_f32<Avx2>,
    .store_f16 = store_f16<Avx2>,
    .load_f16 = load_f16<Avx2>,
    .load_q8 = load_q8<Avx2>,
    .rms_norm = rms_norm<Avx2>,
    .silu_mul = silu_mul<Avx2>,
    .exp_sum = exp_sum<Avx2>,
    .maximum = maximum<Avx2>,
    .weighted_sum = weighted_sum<Avx2>,
};

}  // namespace lancet

#endif
