// Chooses a table by what the CPU says it can do. The only place that asks.
#include <fmt/format.h>

#include <array>
#include <iterator>
#include <string>

#include "base/error.h"
#include "kernels/tables.h"

#ifdef LANCET_X86_TABLES
#include <cpuid.h>
#endif

namespace lancet {
namespace {

struct RunnableTables {
  std::array<const KernelTable*, 4> tables{};
  size_t count = 0;

  RunnableTables() {
#ifdef LANCET_X86_TABLES
    const bool bf16 = has_avx512() && __builtin_cpu_supports("avx512bf16");
    // Intel's cores do 0.45 vdpbf16ps a cycle (measured, Emerald Rapids), a quarter of their multiply-adds in f32, and
    // keep bf16 for AMX; AMD's do one, twice as many.
    const bool bf16_first = bf16 && !__builtin_cpu_is("intel");
    if (bf16_first) tables[count++] = &kAvx512Bf16Table;
    if (has_avx512()) tables[count++] = &kAvx512Table;
    if (bf16 && !bf16_first) tables[count++] = &kAvx512Bf16Table;
    if (has_avx2()) tables[count++] = &kAvx2Table;
#endif
    tables[count++] = &kScalarTable;
  }

#ifdef LANCET_X86_TABLES
  static bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c(); }
  static bool has_f16c() {  // clang 16 knows no such name; avx2 already says that the system saves the registers
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
  }
  static bool has_avx512() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi");
  }
#endif
};

}  // namespace

int64_t product_scratch_floats(int cols) {
  // The largest user: a panel of 16 rows as bytes (4 floats a column) with two scales a block of 32 (1 more), the
  // columns rounded up to the 512 that the kernels work in; and a fixed part for decoded pieces of rows.
  return (int64_t{cols} + 511) / 512 * 512 * 5 + 4096;
}

std::span<const KernelTable* const> kernel_tables() {
  static const RunnableTables runnable;
  return {runnable.tables.data(), runnable.count};
}

const KernelTable& select_kernels(std::string_view name) {
  const auto tables = kernel_tables();
  if (name.empty()) return *tables.front();
  std::string known;
  for (const KernelTable* table : tables) {
    if (table->name == name) return *table;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", table->name);
  }
  throw Error(Fault::unsupported,
              fmt::format("there are no {} kernels for this CPU; it can run: {}", quoted(name), known), "kernels");
}

}  // namespace lancet
