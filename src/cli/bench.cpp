// bench: the work of llama-bench (random ids, a warm-up, no sampling), with probes of the machine in the same minute
// and each speed as a fraction of what they allow.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>

#include <fmt/format.h>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/random.h"
#include "cli/bench_test.h"
#include "cli/command.h"
#include "cli/forward.h"
#include "cli/machine_probe.h"
#include "cli/model_flags.h"

namespace lancet {
namespace {
namespace json = boost::json;

constexpr int kWarmingTokens = 512, kWarmingSteps = 8;  // of the run before those that count

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> numbers) {
  std::sort(numbers.begin(), numbers.end());
  return (numbers[(numbers.size() - 1) / 2] + numbers[numbers.size() / 2]) / 2;
}

/// `scale` to, say, three digits after the point: 1000.
double rounded(double x, double scale) { return std::round(x * scale) / scale; }

json::array rounded(const std::vector<double>& numbers, double scale) {
  json::array out;
  for (const double x : numbers) out.emplace_back(rounded(x, scale));
  return out;
}

/// The counted runs of one test.
struct Runs {
  std::vector<double> tokens_s, other_cpu;
};

class Bench : public Command {
 public:
  void declare(Flags& flags) override {
    model_.declare(flags);
    flags.required("--model");
    flags.add("-p,--prompt-tokens", prompt_, "prompt test: so many tokens; 0: none", 0, 1 << 20);
    flags.add("-n,--new-tokens", new_, "generation test: so many tokens; 0: none", 0, 1 << 20);
    flags.add("-d,--depth", depth_,
              "tokens in the cache before each test, which is filled in pieces that see only themselves", 0, 1 << 20);
    flags.add("-b,--batch", batch_, "sequences that generate together", 1, 256);
    flags.add("--tests", tests_, "these tests instead: ppN, tgN, tgN@DEPTH, tgNbBATCH, separated by commas");
    flags.add("-r,--repetitions", repetitions_, "counted runs of each test", 1, 100);
    flags.add("--json", json_, "print one JSON line a test");
    flags.example("lancet bench -m MODEL -p 512 -n 128 -r 5 --json", "pp512 and tg128, tokens a second");
    flags.example("lancet bench -m MODEL --tests pp512,tg128,tg32@4096,tg32b4", "several tests, the model loaded once");
  }

  int run() override {
    const std::vector<BenchTest> tests = wanted_tests();
    if (tests.empty()) return 0;
    LoadedModel loaded = load(model_);
    loaded.backend->settle();
    ForwardRun forward = forward_for(tests, *loaded.model);
    MachineProbe probe(model_.threads, model_.kernels);
    MachinePeaks before = probe.measure();
    print_probe(before, probe, *loaded.backend, "before");
    for (const BenchTest& test : tests) {
      const Runs runs = measure(test, forward, loaded);
      const MachinePeaks after = probe.measure();
      print_test(test, runs, bench_work(test, loaded, model_), {before, after});
      before = after;
    }
    print_probe(before, probe, *loaded.backend, "after");
    return 0;
  }

 private:
  std::vector<BenchTest> wanted_tests() const {
    if (!tests_.empty()) return parse_bench_tests(tests_);
    std::vector<BenchTest> tests;
    if (prompt_ > 0) tests.push_back({.prompt = true, .tokens = prompt_, .depth = depth_});
    if (new_ > 0) tests.push_back({.tokens = new_, .depth = depth_, .batch = batch_});
    return tests;
  }

  /// One cache for all tests, as large as the largest needs. A test that the model is too short for is refused here.
  static ForwardRun forward_for(const std::vector<BenchTest>& tests, Model& model) {
    const auto less = [](const BenchTest& a, const BenchTest& b) {
      return ForwardRun::blocks(a.batch, a.room()) < ForwardRun::blocks(b.batch, b.room());
    };
    const BenchTest& largest = *std::max_element(tests.begin(), tests.end(), less);
    ForwardRun forward(model, largest.batch, largest.room());
    for (const BenchTest& test : tests) forward.reshape(test.batch, test.room());
    return forward;
  }

  std::vector<TokenId> random_ids(const LoadedModel& loaded, int count) {
    std::vector<TokenId> ids(static_cast<size_t>(count));
    const auto vocabulary = static_cast<uint64_t>(loaded.model->limits().vocabulary);
    for (TokenId& id : ids) id = static_cast<TokenId>(random_.below(vocabulary));
    return ids;
  }

  Runs measure(const BenchTest& test, ForwardRun& forward, const LoadedModel& loaded) {
    const auto nothing = [](int, std::span<const float>) {};
    forward.reshape(test.batch, test.room());
    for (int sequence = 0; sequence < test.batch && test.depth > 0; sequence++)
      forward.fill(sequence, random_ids(loaded, test.depth));
    Runs runs;
    for (int round = 0; round <= repetitions_; round++) {
      const int warming = test.prompt ? kWarmingTokens : kWarmingSteps;
      const int tokens = round == 0 ? std::min(warming, test.tokens) : test.tokens;
      const OtherCpu other;
      const double took = seconds([&] {
        if (test.prompt) return forward.append(0, random_ids(loaded, tokens), false, nothing);
        for (int i = 0; i < tokens; i++) forward.append_each(random_ids(loaded, test.batch));
      });
      forward.rewind(test.depth);
      if (round == 0) continue;
      runs.tokens_s.push_back(test.counted() / took);
      runs.other_cpu.push_back(other.busy());
    }
    return runs;
  }

  struct AroundTest {
    MachinePeaks before, after;
  };

  void print_test(const BenchTest& test, const Runs& runs, const BenchWork& work, const AroundTest& probes) const {
    const MachinePeaks &a = probes.before, &b = probes.after;
    const MachinePeaks mean{.read_bytes_s = (a.read_bytes_s + b.read_bytes_s) / 2,
                            .f32_macs_s = (a.f32_macs_s + b.f32_macs_s) / 2,
                            .bf16_macs_s = (a.bf16_macs_s + b.bf16_macs_s) / 2,
                            .int8_macs_s = (a.int8_macs_s + b.int8_macs_s) / 2};
    const BenchLimit limit = bench_limit(test, work, mean);
    const double speed = median(runs.tokens_s);
    if (json_) {
      fmt::print("{}\n", json::serialize(
                             json::object{{"test", test.name()},
                                          {"t_s", rounded(speed, 1e3)},
                                          {"runs", rounded(runs.tokens_s, 1e3)},
                                          {"limit_t_s", rounded(limit.tokens_s, 1e3)},
                                          {"of_limit", rounded(speed / limit.tokens_s, 1e4)},
                                          {"limited_by", limit.memory ? "memory" : "arithmetic"},
                                          {"probe_gb_s", rounded({a.read_bytes_s / 1e9, b.read_bytes_s / 1e9}, 100)},
                                          {"other_cpu", rounded(runs.other_cpu, 100)}}));
    } else {
      const auto [low, high] = std::minmax_element(runs.tokens_s.begin(), runs.tokens_s.end());
      fmt::print(
          "{:<16} {:>10.2f} tokens/s, {:.0f} % of what {} allows   (of {} runs: {:.2f} to {:.2f}; others used "
          "{:.2f} CPUs)\n",
          test.name(), speed, 100 * speed / limit.tokens_s, limit.memory ? "memory" : "arithmetic",
          runs.tokens_s.size(), *low, *high, median(runs.other_cpu));
    }
    std::fflush(stdout);
  }

  void print_probe(const MachinePeaks& peaks, const MachineProbe& probe, const Backend& backend,
                   std::string_view when) {
    const auto rate = [](double macs_s) { return macs_s > 0 ? json::value(rounded(macs_s / 1e9, 10)) : json::value(); };
    if (json_) {
      fmt::print("{}\n", json::serialize(json::object{{"test", "probe"},
                                                      {"when", when},
                                                      {"read_gb_s", rounded(peaks.read_bytes_s / 1e9, 100)},
                                                      {"f32_gmac_s", rate(peaks.f32_macs_s)},
                                                      {"bf16_gmac_s", rate(peaks.bf16_macs_s)},
                                                      {"int8_gmac_s", rate(peaks.int8_macs_s)},
                                                      {"int8_instructions", probe.loops().int8.instructions},
                                                      {"threads", probe.threads()},
                                                      {"backend", backend.description()}}));
    } else {
      if (when == "before") fmt::print("{}\n", backend.description());
      fmt::print("memory read {:.1f} GB/s", peaks.read_bytes_s / 1e9);
      for (const auto& [name, macs] : {std::pair{"f32", peaks.f32_macs_s}, std::pair{"bf16", peaks.bf16_macs_s},
                                       std::pair{"int8", peaks.int8_macs_s}})
        if (macs > 0) fmt::print(", {} {:.0f}", name, macs / 1e9);
      fmt::print(" GMAC/s, {} threads\n", probe.threads());
    }
    std::fflush(stdout);
  }

  ModelFlags model_;
  std::string tests_;
  int prompt_ = 512, new_ = 128, depth_ = 0, batch_ = 1, repetitions_ = 5;
  bool json_ = false;
  Random random_{42};
};

}  // namespace

std::unique_ptr<Command> make_bench() { return std::make_unique<Bench>(); }

}  // namespace lancet
