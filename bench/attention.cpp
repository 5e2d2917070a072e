// Speed of attention over the paged cache, one layer of Ministral 3 3B's shape (8 key heads of 128, groups of 4), one
// thread, for every kernel table and cache format: "decode" gives gigabytes of keys and values read a second and bytes
// a core cycle, "prefill" multiply-adds a core cycle. Time is the thread's own CPU time. One JSON line a result.
//   bench_attention --benchmark_filter=avx512/q8
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/random.h"
#include "clock.h"
#include "kernels/kernels.h"

namespace lancet {
namespace {

constexpr int kDepth = 8192, kKeyHeads = 8, kGroup = 4, kWidth = 128;
constexpr int kLayers = 4;  // taken in turn: more than any cache of the processor holds
constexpr int kChunk = 512;

/// The last `rows` of kDepth positions.
Batch last_rows(int rows) {
  Batch batch;
  for (int position = kDepth - rows; position < kDepth; position++) {
    batch.tokens.push_back(0);
    batch.positions.push_back(position);
    batch.slots.push_back(position);
  }
  batch.blocks.resize(kDepth / kBlockTokens);
  std::iota(batch.blocks.begin(), batch.blocks.end(), 0);
  batch.sequences = {{.first_row = 0, .rows = rows, .context = kDepth, .first_block = 0}};
  return batch;
}

/// A backend with a full cache. The last one made is kept.
struct Work {
  std::string kernels;
  KvFormat format;
  std::unique_ptr<Backend> backend;
  std::vector<KvLayer> layers;

  Work(const std::string& kernels, KvFormat format) : kernels(kernels), format(format) {
    backend = make_cpu_backend({.threads = 1, .kernels = kernels, .exact = format == KvFormat::f32, .kv = format});
    layers = backend->allocate_cache(kLayers, kDepth / kBlockTokens, kKeyHeads, kWidth);
    const Batch batch = last_rows(kDepth);
    backend->begin_step(batch);
    const Matrix keys = random_rows(kDepth, kKeyHeads * kWidth);
    for (const KvLayer layer : layers) backend->store_kv(layer, keys, keys);
  }

  Matrix random_rows(int rows, int cols) {
    Random random(1);
    const Matrix matrix = backend->scratch(rows, cols);
    for (int64_t i = 0; i < int64_t{rows} * cols; i++) matrix.data[i] = static_cast<float>(random.normal());
    return matrix;
  }

  static Work& get(const std::string& kernels, KvFormat format) {
    static std::unique_ptr<Work> last;
    if (!last || last->kernels != kernels || last->format != format) {
      last.reset();
      last = std::make_unique<Work>(kernels, format);
    }
    return *last;
  }
};

void run_attention(benchmark::State& state, const std::string& kernels, KvFormat format, int rows) {
  Work& work = Work::get(kernels, format);
  const Batch batch = last_rows(rows);
  work.backend->begin_step(batch);
  const Matrix queries = work.random_rows(rows, kKeyHeads * kGroup * kWidth);
  const Matrix out = work.backend->scratch(rows, kKeyHeads * kGroup * kWidth);
  double best = 1e9;  // other work on the machine only ever adds time
  size_t layer = 0;
  for (auto _ : state) {
    const double start = thread_seconds();
    work.backend->attend(out, queries, work.layers[layer++ % kLayers]);
    best = std::min(best, thread_seconds() - start);
  }
  int64_t keys = 0;
  for (const int position : batch.positions) keys += position + 1;
  state.counters["seconds"] = best;
  state.counters["mac"] = static_cast<double>(keys) * 2 * kKeyHeads * kGroup * kWidth;
  state.counters["bytes"] =
      static_cast<double>(work.backend->cache_bytes_per_block(1, kKeyHeads, kWidth)) * (kDepth / kBlockTokens);
}

/// One line a result.
class JsonLines : public benchmark::BenchmarkReporter {
 public:
  explicit JsonLines(double ghz) : ghz_(ghz) {}
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      const double seconds = run.counters.at("seconds"), cycles = seconds * ghz_ * 1e9;
      fmt::print("{{\"test\":\"{}\",\"ms\":{:.2f},\"gb_s\":{:.2f},\"bytes_cycle\":{:.2f},\"mac_cycle\":{:.2f}}}\n",
                 run.run_name.function_name, seconds * 1e3, run.counters.at("bytes") / seconds / 1e9,
                 run.counters.at("bytes") / cycles, run.counters.at("mac") / cycles);
      std::fflush(stdout);
    }
  }

 private:
  double ghz_;
};

}  // namespace
}  // namespace lancet

int main(int argc, char** argv) {
  using namespace lancet;
  benchmark::Initialize(&argc, argv);
  struct Case {
    const char* name;
    int rows;
  };
  struct Cache {
    const char* name;
    KvFormat format;
  };
  for (const KernelTable* table : kernel_tables()) {
    for (const Cache& cache : {Cache{"f16", KvFormat::f16}, Cache{"q8", KvFormat::q8}, Cache{"exact", KvFormat::f32}}) {
      for (const Case& work : {Case{"decode", 1}, Case{"prefill", table->name == "scalar" ? 4 : kChunk}}) {
        const std::string kernels(table->name);
        const std::string name = fmt::format("{}/{}/{}", kernels, cache.name, work.name);
        benchmark::RegisterBenchmark(name.c_str(), [=, format = cache.format,
                                                    rows = work.rows](benchmark::State& state) {
          run_attention(state, kernels, format, rows);
        })->MinTime(0.3);
      }
    }
  }
  const double ghz = core_ghz();
  fmt::print("{{\"test\":\"core_ghz\",\"ghz\":{:.3f}}}\n", ghz);
  JsonLines lines(ghz);
  benchmark::RunSpecifiedBenchmarks(&lines);
}
