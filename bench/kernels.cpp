// Speed of the matrix products of every kernel table: gigabytes of weights read and multiply-adds per second and per
// core cycle. One JSON line a result. Two shapes of work: "decode", few tokens and more weights than any cache holds,
// and "prefill", many tokens. Each thread takes its own share of the rows, as the backend does.
//   bench_kernels --benchmark_filter=avx512/int8/q4_1
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/format.h"
#include "base/random.h"
#include "kernels/kernels.h"

namespace lancet {
namespace {

struct Shape {
  const char* name;
  int64_t rows;
  int cols, tokens;
};

// 3072 and 9216 columns are Ministral 3 3B's, 576 and 1536 SmolLM2-135M's.
constexpr int64_t kDecodeWeights = 96'000'000;
constexpr Shape kShapes[] = {
    {"decode", kDecodeWeights / 3072, 3072, 1},
    {"decode", kDecodeWeights / 9216, 9216, 1},
    {"decode", kDecodeWeights / 576, 576, 1},
    {"decode", kDecodeWeights / 1536, 1536, 1},
    {"decode", kDecodeWeights / 3072, 3072, 3},
    {"batch", kDecodeWeights / 3072, 3072, 8},
    {"prefill", 512, 3072, 256},
    {"prefill", 512, 9216, 256},
    {"prefill", 1536, 576, 512},
    {"prefill", 576, 1536, 512},
};

/// Core clock in GHz, from a chain of additions that depend on each other (one cycle each).
double core_ghz() {
  double best = 0;
  for (int repeat = 0; repeat < 5; repeat++) {
    const auto start = std::chrono::steady_clock::now();
    uint64_t x = 1;
    for (int i = 0; i < 10'000'000; i++) {
      x += 3;
      asm volatile("" : "+r"(x));
    }
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    best = std::max(best, 1e7 / spent.count() / 1e9);
  }
  return best;
}

/// Weights and activations of one benchmark, shared by its threads. The last one made is kept.
struct Work {
  Format format;
  Shape shape;
  std::vector<std::byte> weights;
  std::vector<float> values, scales, out;
  std::vector<int8_t> quants;
  std::vector<int32_t> sums;
  Activations x;

  Work(Format format, const Shape& shape) : format(format), shape(shape) {
    weights.resize(static_cast<size_t>(shape.rows * row_bytes(format, shape.cols)));
    Random random(1);
    // Bytes 0x38 to 0x3b: ordinary numbers in every format, so no subnormal or NaN slows anything down.
    for (size_t i = 0; i + 8 <= weights.size(); i += 8) {
      const uint64_t bits = (random.next() & 0x0303030303030303u) | 0x3838383838383838u;
      std::memcpy(weights.data() + i, &bits, 8);
    }
    const auto count = static_cast<size_t>(shape.tokens) * static_cast<size_t>(shape.cols);
    values.resize(count);
    for (float& value : values) value = static_cast<float>(random.normal());
    quants.resize(count);
    scales.resize(count / 32);
    sums.resize(count / 32);
    kernel_tables().back()->quantise(values.data(), shape.tokens, shape.cols, quants.data(), scales.data(),
                                     sums.data());
    out.resize(static_cast<size_t>(shape.rows * shape.tokens));
    x = {values.data(), quants.data(), scales.data(), sums.data(), shape.tokens, shape.cols};
  }

  static const Work& get(Format format, const Shape& shape) {
    static std::unique_ptr<Work> last;
    if (!last || last->format != format || last->shape.rows != shape.rows || last->shape.cols != shape.cols ||
        last->shape.tokens != shape.tokens) {
      last.reset();
      last = std::make_unique<Work>(format, shape);
    }
    return *last;
  }
};

constexpr int64_t kPieceRows = 64;  // what the backend hands to a thread at once

void run_share(const Work& work, ProductFunction product, int thread, int threads, float* scratch) {
  const int64_t begin = work.shape.rows * thread / threads, end = work.shape.rows * (thread + 1) / threads;
  for (int64_t row = begin; row < end; row += kPieceRows) {
    product({.weights = work.weights.data(),
             .x = &work.x,
             .out = const_cast<float*>(work.out.data()),
             .row_begin = row,
             .row_end = std::min(row + kPieceRows, end),
             .out_stride = work.shape.rows,
             .scratch = scratch});
  }
}

void run_product(benchmark::State& state, ProductFunction product, Format format, const Shape& shape) {
  static const Work* work;
  if (state.thread_index() == 0) work = &Work::get(format, shape);
  std::vector<float> memory(static_cast<size_t>(product_scratch_floats(shape.cols)) + 16);
  float* scratch = memory.data() + (16 - reinterpret_cast<uintptr_t>(memory.data()) / 4 % 16) % 16;
  for (auto _ : state) run_share(*work, product, state.thread_index(), state.threads(), scratch);
  // Counters are added over threads and divided by the time of one: totals of the machine.
  const auto share = static_cast<double>(state.iterations()) / state.threads();
  const auto weights = static_cast<double>(shape.rows * shape.cols);
  state.counters["bytes"] = benchmark::Counter(share * static_cast<double>(shape.rows * row_bytes(format, shape.cols)),
                                               benchmark::Counter::kIsRate);
  state.counters["mac"] = benchmark::Counter(share * weights * shape.tokens, benchmark::Counter::kIsRate);
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
      fmt::print("{{\"test\":\"{}\",\"threads\":{},\"gb_s\":{:.2f},\"gmac_s\":{:.2f},\"mac_cycle_core\":{:.2f}}}\n",
                 run.run_name.function_name, run.threads, bytes / 1e9, mac / 1e9, mac / 1e9 / ghz_ / threads);
      std::fflush(stdout);
    }
  }

 private:
  double ghz_;
};

void add(const KernelTable& table, const char* arithmetic, ProductFunction product, Format format) {
  for (const Shape& shape : kShapes) {
    if (shape.cols % format_info(format).block_values != 0) continue;
    const std::string name = fmt::format("{}/{}/{}/{}/{}x{}x{}", table.name, arithmetic, format_name(format),
                                         shape.name, shape.rows, shape.cols, shape.tokens);
    for (const int threads : {1, 2}) {
      benchmark::RegisterBenchmark(
          name.c_str(),
          [product, format, shape](benchmark::State& state) { run_product(state, product, format, shape); })
          ->Threads(threads)
          ->UseRealTime()
          ->MinTime(0.2);
    }
  }
}

/// Plain reading of memory: the ceiling of every decode.
void read_memory(benchmark::State& state) {
  static std::vector<uint64_t> memory(256u << 17, 1);
  const size_t share = memory.size() / static_cast<size_t>(state.threads());
  const uint64_t* from = memory.data() + share * static_cast<size_t>(state.thread_index());
  for (auto _ : state) {
    uint64_t sums[8] = {};
    for (size_t i = 0; i + 64 <= share; i += 64) {
      for (size_t line = 0; line < 8; line++) sums[line] += from[i + line * 8];
    }
    for (const uint64_t sum : sums) benchmark::DoNotOptimize(sum);
  }
  state.counters["bytes"] = benchmark::Counter(static_cast<double>(state.iterations()) * static_cast<double>(share) * 8,
                                               benchmark::Counter::kIsRate);
  state.counters["mac"] = 0;
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
      const auto format = static_cast<Format>(f);
      add(*table, "exact", table->exact[f], format);
      if (table->int8[f]) add(*table, "int8", table->int8[f], format);
    }
  }
  const double ghz = core_ghz();
  fmt::print("{{\"test\":\"core_ghz\",\"ghz\":{:.3f}}}\n", ghz);
  JsonLines lines(ghz);
  benchmark::RunSpecifiedBenchmarks(&lines);
}
