// Overflow-checked arithmetic for every size that comes from a file or a request.
#pragma once

#include <cstdint>
#include <optional>

namespace lancet {

/// a * b, or nothing if it does not fit in 64 bits.
inline std::optional<uint64_t> checked_multiply(uint64_t a, uint64_t b) {
  uint64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
  return result;
}

/// a + b, or nothing if it does not fit in 64 bits.
inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t result = 0;
  if (__builtin_add_overflow(a, b, &result)) return std::nullopt;
  return result;
}

/// ceil(a / b) without overflow; b > 0.
constexpr uint64_t divide_up(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }

/// The smallest multiple of b that is >= a, or nothing if it does not fit; b > 0.
inline std::optional<uint64_t> round_up(uint64_t a, uint64_t b) { return checked_multiply(divide_up(a, b), b); }

}  // namespace lancet
