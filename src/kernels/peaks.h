// What the machine can do at most, for judging a measured speed: loops of nothing but the multiply-adds that a kernel
// table's products are made of, and a read of memory that does nothing else. A limit is honest only if it is made of
// the same instructions: int8 on AVX2 is three of them (multiply and add pairs, add pairs, accumulate), with VNNI one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace lancet {

/// `run` does `rounds` * macs_per_round multiply-adds in registers, in as many independent sums as the latency needs.
struct PeakLoop {
  std::string_view instructions;
  int macs_per_round;
  void (*run)(int64_t rounds);  // null: the table has no such arithmetic
};

struct Peaks {
  std::string_view table;  // the name of the kernel table
  PeakLoop f32, bf16, int8;
  /// Reads all whole 256-byte pieces and returns something that depends on every byte, so that no read is left out.
  uint64_t (*read)(std::span<const std::byte>);
};

/// The peaks of the table of that name ("avx512"). A name that no table of this build has: the scalar ones.
const Peaks& peaks_of(std::string_view table);

}  // namespace lancet
