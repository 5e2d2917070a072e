// Speed of the matrix products of every kernel table: gigabytes of weights read and multiply-adds per second and per
// core cycle. One JSON line a result. Two shapes of work: "decode", few tokens and more weights than any cache holds,
// and "prefill", many tokens and weights that stay in the level-2 cache. Each thread takes its own share of the panels,
// as the backend does. Rates are by the threads' own processor time, so that other programs disturb them little.
//   bench_kernels --benchmark_filter=avx512/panel/q4_1
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/format.h"
#include "base/random.h"
#include "clock.h"
#include "kernels/kernels.h"

namespace lancet {
namespace {

struct Shape {
  const char* name;
  int64_t rows;
  int cols, tokens;
};

// 3072 and 9216 columns are Ministral 3 3B's, 576 and 1536 SmolLM2-135M's.
constexpr int64_t kRowsForMemory = 0;  // decode: as many rows as no cache holds
constexpr Shape kShapes[] = {
    {"decode", kRowsForMemory, 3072, 1},  {"decode", kRowsForMemory, 9216, 1}, {"decode", kRowsForMemory, 1536, 1},
    {"decode", kRowsForMemory, 3072, 2},  {"decode", kRowsForMemory, 3072, 4}, {"decode", kRowsForMemory, 3072, 8},
    {"decode", kRowsForMemory, 3072, 12}, {"prefill", 128, 3072, 240},         {"prefill", 128, 3072, 512},
    {"prefill", 64, 9216, 512},           {"prefill", 256, 1536, 512},
};

/// Bytes that no cache holds: several times the last one that the system tells of.
int64_t memory_bytes() {
  constexpr int64_t kLeast = 96'000'000, kTimesTheCache = 3;
#ifdef _SC_LEVEL3_CACHE_SIZE
  return std::max(kLeast, kTimesTheCache * int64_t{sysconf(_SC_LEVEL3_CACHE_SIZE)});
#else
  return kLeast;
#endif
}

/// Memory at a multiple of 64 bytes.
template <typename T>
class Aligned {
 public:
  explicit Aligned(int64_t count) : memory_(static_cast<size_t>(count) + 64 / sizeof(T)) {}
  T* data() { return memory_.data() + (64 - reinterpret_cast<uintptr_t>(memory_.data()) % 64) % 64 / sizeof(T); }

 private:
  std::vector<T> memory_;
};

/// Panels and activations of one benchmark, shared by its threads. The last one made is kept.
class Work {
 public:
  Work(const KernelTable& table, Format format, const Shape& shape)
      : table_(&table),
        format_(format),
        shape_(shape),
        kernel_(table.panel[static_cast<int>(format)]),
        cols_(padded_cols(kernel_.arithmetic, shape.cols)),
        weights_(panels() * panel_bytes(format, shape.cols)),
        values_(int64_t{shape.tokens} * cols_ * 4),
        scales_(2 * blocks()),
        zeros_(4 * blocks()),
        out_(shape.rows * shape.tokens) {
    Random random(1);
    // Bytes 0x38 to 0x3b: ordinary numbers in every format, so no subnormal or NaN slows anything down.
    for (int64_t i = 0; i + 8 <= panels() * panel_bytes(format, shape.cols); i += 8) {
      const uint64_t bits = (random.next() & 0x0303030303030303u) | 0x3838383838383838u;
      std::memcpy(weights_.data() + i, &bits, 8);
    }
    std::vector<float> values(static_cast<size_t>(shape.tokens) * static_cast<size_t>(shape.cols));
    for (float& value : values) value = static_cast<float>(random.normal());
    x_ = {.arithmetic = kernel_.arithmetic,
          .tokens = shape.tokens,
          .cols = cols_,
          .group = table.panel_tokens,
          .values = values_.data(),
          .scales = scales_.data(),
          .scaled_sums = scales_.data() + blocks(),
          .zero_8 = zeros_.data(),
          .zero_128 = zeros_.data() + blocks(),
          .zero_32 = zeros_.data() + 2 * blocks()};
    for (int g = 0; g < group_count(shape.tokens, x_.group); g++) {
      table.prepare[static_cast<int>(kernel_.arithmetic)]({.values = values.data(),
                                                           .cols = shape.cols,
                                                           .planes = 1,
                                                           .group = token_group(shape.tokens, x_.group, g),
                                                           .to = &x_});
    }
  }

  static Work& get(const KernelTable& table, Format format, const Shape& shape) {
    static std::unique_ptr<Work> last;
    if (!last || last->table_ != &table || last->format_ != format || last->shape_.rows != shape.rows ||
        last->shape_.cols != shape.cols || last->shape_.tokens != shape.tokens) {
      last.reset();
      last = std::make_unique<Work>(table, format, shape);
    }
    return *last;
  }

  int64_t panels() const { return shape_.rows / kPanelRows; }

  /// One thread's share of the panels, a few at a time as the backend hands them out.
  void run_share(int thread, int threads) {
    constexpr int64_t kAtOnce = 4;
    const int64_t begin = panels() * thread / threads, end = panels() * (thread + 1) / threads;
    for (int64_t panel = begin; panel < end; panel += kAtOnce) {
      kernel_.multiply({.panels = weights_.data() + panel * panel_bytes(format_, shape_.cols),
                        .x = &x_,
                        .out = out_.data(),
                        .panel_begin = panel,
                        .panel_end = std::min(panel + kAtOnce, end),
                        .rows = shape_.rows,
                        .out_stride = shape_.rows});
    }
  }

 private:
  int64_t blocks() const { return int64_t{shape_.tokens} * (cols_ / kQuantBlock + 1); }

  const KernelTable* table_;
  Format format_;
  Shape shape_;
  PanelKernel kernel_;
  int cols_;
  Aligned<std::byte> weights_, values_;
  Aligned<float> scales_;
  Aligned<int32_t> zeros_;
  Aligned<float> out_;
  PanelActivations x_;
};

/// Rates of the machine: each thread's own, added.
void count(benchmark::State& state, double seconds, double bytes, double macs) {
  state.counters["bytes"] = bytes / seconds;
  state.counters["mac"] = macs / seconds;
}

void run_panels(benchmark::State& state, const KernelTable& table, Format format, const Shape& shape) {
  static Work* work;
  if (state.thread_index() == 0) work = &Work::get(table, format, shape);
  double seconds = 0;
  for (auto _ : state) {
    const double start = thread_seconds();
    work->run_share(state.thread_index(), state.threads());
    seconds += thread_seconds() - start;
  }
  const auto panels = static_cast<double>(work->panels() * state.iterations()) / static_cast<double>(state.threads());
  count(state, seconds, panels * static_cast<double>(panel_bytes(format, shape.cols)),
        panels * kPanelRows * static_cast<double>(shape.cols) * shape.tokens);
}

/// One line a result.
class JsonLines : public benchmark::BenchmarkReporter {
 public:
  explicit JsonLines(double ghz) : ghz_(ghz) {}
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      const double mac = run.counters.at("mac"), bytes = run.counters.at("bytes");
      const auto threads = static_cast<double>(run.threads);
      const double cycles = ghz_ * 1e9 * threads;  // a second, all cores
      fmt::print(
          "{{\"test\":\"{}\",\"threads\":{},\"gb_s\":{:.2f},\"gmac_s\":{:.2f},\"bytes_cycle_core\":{:.2f},"
          "\"mac_cycle_core\":{:.2f}}}\n",
          run.run_name.function_name, run.threads, bytes / 1e9, mac / 1e9, bytes / cycles, mac / cycles);
      std::fflush(stdout);
    }
  }

 private:
  double ghz_;
};

void add(const KernelTable& table, Format format) {
  for (Shape shape : kShapes) {
    if (shape.cols % format_info(format).block_values != 0) continue;
    if (shape.rows == kRowsForMemory) shape.rows = memory_bytes() / panel_bytes(format, shape.cols) * kPanelRows;
    const std::string name = fmt::format("{}/panel/{}/{}/{}x{}x{}", table.name, format_name(format), shape.name,
                                         shape.rows, shape.cols, shape.tokens);
    for (const int threads : {1, 2}) {
      benchmark::RegisterBenchmark(
          name.c_str(), [&table, format, shape](benchmark::State& state) { run_panels(state, table, format, shape); })
          ->Threads(threads)
          ->UseRealTime()
          ->MinTime(0.2);
    }
  }
}

/// Plain reading of memory: the ceiling of every decode.
void read_memory(benchmark::State& state) {
  static std::vector<uint64_t> memory(static_cast<size_t>(memory_bytes()) / sizeof(uint64_t), 1);
  const size_t share = memory.size() / static_cast<size_t>(state.threads());
  const uint64_t* from = memory.data() + share * static_cast<size_t>(state.thread_index());
  double seconds = 0;
  for (auto _ : state) {
    const double start = thread_seconds();
    uint64_t sums[8] = {};
    for (size_t i = 0; i + 64 <= share; i += 64) {
      for (size_t line = 0; line < 8; line++) sums[line] += from[i + line * 8];
    }
    for (const uint64_t sum : sums) benchmark::DoNotOptimize(sum);
    seconds += thread_seconds() - start;
  }
  count(state, seconds, static_cast<double>(state.iterations()) * static_cast<double>(share) * 8, 0);
}

}  // namespace
}  // namespace lancet

int main(int argc, char** argv) {
  using namespace lancet;
  benchmark::Initialize(&argc, argv);
  for (const int threads : {1, 2}) {
    benchmark::RegisterBenchmark("memory/read", read_memory)->Threads(threads)->UseRealTime()->MinTime(0.5);
  }
  for (const KernelTable* table : kernel_tables()) {
    for (int f = 0; f < kFormatCount; f++) {
      if (table->panel[f].multiply) add(*table, static_cast<Format>(f));
    }
  }
  const double ghz = core_ghz();
  fmt::print("{{\"test\":\"core_ghz\",\"ghz\":{:.3f}}}\n", ghz);
  JsonLines lines(ghz);
  benchmark::RunSpecifiedBenchmarks(&lines);
}
