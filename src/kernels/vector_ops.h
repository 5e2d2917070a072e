// The element-wise entries and the dot products, for any instruction set (`Isa`: vec_avx2.h, vec_avx512.h). Every sum
// has an order that depends on the number of elements only.
#pragma once

#include "kernels/kernels.h"

namespace lancet {
namespace {

/// exp(x) with an error below 1 ulp (checked for all floats of the range by tests/kernels/vector_ops_test.cpp): x is
/// n ln 2 + r with |r| <= ln 2 / 2, exp(r) is Taylor's polynomial of degree 7. Right at both ends of the range: 0 below
/// -104, infinity above 89; NaN stays NaN.
template <class Isa>
typename Isa::Vec exp(typename Isa::Vec x) {
  using Vec = typename Isa::Vec;
  x = Isa::min(Isa::set(90.0f), Isa::max(Isa::set(-105.0f), x));  // the second operand wins if it is NaN
  const Vec n = Isa::round(Isa::mul(x, Isa::set(0x1.715476p+0f)));
  Vec r = Isa::fma(n, Isa::set(-0x1.62e4p-1f), x);  // ln 2 in two parts; n times the first part is exact
  r = Isa::fma(n, Isa::set(-0x1.7f7d1cp-20f), r);
  Vec sum = Isa::set(1.0f / 5040.0f);
  for (const float coefficient : {1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f, 0.5f, 1.0f, 1.0f}) {
    sum = Isa::fma(sum, r, Isa::set(coefficient));
  }
  return Isa::scale_by_power(sum, n);
}

template <class Isa>
float add_chains(const typename Isa::Vec (&chains)[4]) {
  return Isa::reduce(Isa::add(Isa::add(chains[0], chains[1]), Isa::add(chains[2], chains[3])));
}

template <class Isa>
float dot_f32(const float* a, const float* b, int count) {
  typename Isa::Vec chains[4] = {Isa::zero(), Isa::zero(), Isa::zero(), Isa::zero()};
  int i = 0;
  for (; i + 4 * Isa::kWidth <= count; i += 4 * Isa::kWidth) {
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
      chains[c] = Isa::fma(Isa::load(a + i + c * Isa::kWidth), Isa::load(b + i + c * Isa::kWidth), chains[c]);
    }
  }
  for (; i + Isa::kWidth <= count; i += Isa::kWidth) {
    chains[0] = Isa::fma(Isa::load(a + i), Isa::load(b + i), chains[0]);
  }
  if (const int rest = count - i; rest > 0) {
    chains[1] = Isa::fma(Isa::load_part(a + i, rest), Isa::load_part(b + i, rest), chains[1]);
  }
  return add_chains<Isa>(chains);
}

template <class Isa>
void axpy_f32(float scale, const float* b, float* acc, int count) {
  const auto factor = Isa::set(scale);
  int i = 0;
  for (; i + Isa::kWidth <= count; i += Isa::kWidth) {
    Isa::store(acc + i, Isa::fma(factor, Isa::load(b + i), Isa::load(acc + i)));
  }
  if (const int rest = count - i; rest > 0) {
    Isa::store_part(acc + i, Isa::fma(factor, Isa::load_part(b + i, rest), Isa::load_part(acc + i, rest)), rest);
  }
}

template <class Isa>
void rms_norm(const float* x, const float* gain, float epsilon, float* out, int count) {
  const float mean = dot_f32<Isa>(x, x, count) / static_cast<float>(count);
  const auto scale = Isa::set(1.0f / __builtin_sqrtf(mean + epsilon));
  int i = 0;
  for (; i + Isa::kWidth <= count; i += Isa::kWidth) {
    Isa::store(out + i, Isa::mul(Isa::mul(Isa::load(x + i), scale), Isa::load(gain + i)));
  }
  if (const int rest = count - i; rest > 0) {
    Isa::store_part(out + i, Isa::mul(Isa::mul(Isa::load_part(x + i, rest), scale), Isa::load_part(gain + i, rest)),
                    rest);
  }
}

template <class Isa>
typename Isa::Vec silu_mul_of(typename Isa::Vec gate, typename Isa::Vec up) {
  const auto one = Isa::set(1.0f);
  return Isa::mul(Isa::div(gate, Isa::add(one, exp<Isa>(Isa::sub(Isa::zero(), gate)))), up);
}

template <class Isa>
void silu_mul(const float* gate, const float* up, float* out, int count) {
  int i = 0;
  for (; i + Isa::kWidth <= count; i += Isa::kWidth) {
    Isa::store(out + i, silu_mul_of<Isa>(Isa::load(gate + i), Isa::load(up + i)));
  }
  if (const int rest = count - i; rest > 0) {
    Isa::store_part(out + i, silu_mul_of<Isa>(Isa::load_part(gate + i, rest), Isa::load_part(up + i, rest)), rest);
  }
}

template <class Isa>
float exp_sum(float* x, float maximum, int count) {
  const auto shift = Isa::set(maximum);
  auto sum = Isa::zero();
  int i = 0;
  for (; i + Isa::kWidth <= count; i += Isa::kWidth) {
    const auto value = exp<Isa>(Isa::sub(Isa::load(x + i), shift));
    Isa::store(x + i, value);
    sum = Isa::add(sum, value);
  }
  if (const int rest = count - i; rest > 0) {
    const auto value = exp<Isa>(Isa::sub(Isa::load_part(x + i, rest), shift));
    Isa::store_part(x + i, value, rest);
    sum = Isa::add(sum, Isa::keep(value, rest));
  }
  return Isa::reduce(sum);
}

}  // namespace
}  // namespace lancet
