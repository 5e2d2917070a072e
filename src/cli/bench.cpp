// bench: the work of llama-bench (random ids, a warm-up, no sampling), and probes of the machine in the same minute.
#include <algorithm>
#include <chrono>
#include <functional>
#include <numeric>

#include <fmt/format.h>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/random.h"
#include "base/thread_pool.h"
#include "cli/command.h"
#include "cli/forward.h"
#include "cli/model_flags.h"
#include "kernels/kernels.h"

namespace lancet {
namespace {
namespace json = boost::json;

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Bytes per second that all threads together read from memory: the best of a few passes over 512 MiB.
double read_bandwidth(ThreadPool& pool) {
  std::vector<uint64_t> words((size_t{512} << 20) / sizeof(uint64_t), 1);
  std::vector<uint64_t> sums(words.size() >> 20);  // every piece has its own, so nothing is shared and nothing dropped
  double best = 0;
  for (int pass = 0; pass < 5; pass++) {
    const double took = seconds([&] {
      pool.run(static_cast<int64_t>(sums.size()), 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
          const uint64_t* piece = words.data() + (static_cast<size_t>(i) << 20);
          uint64_t sum[8] = {};
          for (size_t at = 0; at < size_t{1} << 20; at += 8)
            for (size_t lane = 0; lane < 8; lane++) sum[lane] += piece[at + lane];
          sums[static_cast<size_t>(i)] = std::accumulate(sum, sum + 8, uint64_t{0});
        }
      });
    });
    if (std::accumulate(sums.begin(), sums.end(), uint64_t{0}) != words.size()) return 0;
    best = std::max(best, static_cast<double>(words.size() * sizeof(uint64_t)) / took);
  }
  return best;
}

/// Multiply-adds per second of the table's own f32 product on data that stays in cache: all threads together.
double f32_rate(ThreadPool& pool, const KernelTable& kernels) {
  constexpr int kRows = 64, kCols = 512, kTokens = 64, kRounds = 40;
  struct Job {
    std::vector<float> weights = std::vector<float>(kRows * kCols, 0.5f),
                       x = std::vector<float>(kTokens * kCols, 0.25f), out = std::vector<float>(kTokens * kRows),
                       scratch_space;
  };
  std::vector<Job> jobs(static_cast<size_t>(pool.threads()));
  for (Job& job : jobs) job.scratch_space.resize(static_cast<size_t>(product_scratch_floats(kCols)) + 16);
  const double took = seconds([&] {
    pool.run(pool.threads(), 1, [&](int64_t begin, int64_t) {
      Job& job = jobs[static_cast<size_t>(begin)];
      const auto address = reinterpret_cast<uintptr_t>(job.scratch_space.data());
      const Activations x{job.x.data(), nullptr, nullptr, nullptr, kTokens, kCols};
      const RowsProduct product{reinterpret_cast<const std::byte*>(job.weights.data()),
                                &x,
                                job.out.data(),
                                0,
                                kRows,
                                kRows,
                                job.scratch_space.data() + (64 - address % 64) % 64 / sizeof(float)};
      for (int round = 0; round < kRounds; round++) kernels.exact[static_cast<int>(Format::f32)](product);
    });
  });
  return 1.0 * kRows * kCols * kTokens * kRounds * pool.threads() / took;
}

class Bench : public Command {
 public:
  void declare(Flags& flags) override {
    model_.declare(flags);
    flags.required("--model");
    flags.add("-p,--prompt-tokens", prompt_, "prompt test: so many tokens; 0: none", 0, 1 << 20);
    flags.add("-n,--new-tokens", new_, "generation test: so many tokens; 0: none", 0, 1 << 20);
    flags.add("-d,--depth", depth_, "tokens in the cache before each test", 0, 1 << 20);
    flags.add("-b,--batch", batch_, "sequences that generate together", 1, 256);
    flags.add("-r,--repetitions", repetitions_, "counted runs of each test", 1, 100);
    flags.add("--json", json_, "print one JSON line a test");
    flags.example("lancet bench -m MODEL -p 512 -n 128 -r 5 --json", "pp512 and tg128, tokens a second");
  }

  int run() override {
    LoadedModel loaded = load(model_);
    probe(loaded);
    const int room = depth_ + std::max({prompt_, new_, 1});
    ForwardRun forward(*loaded.model, batch_, room);
    for (int sequence = 0; sequence < batch_ && depth_ > 0; sequence++)
      forward.append(sequence, random_ids(loaded, depth_), false, [](int, std::span<const float>) {});
    const std::string at_depth = depth_ > 0 ? fmt::format("@{}", depth_) : "";
    if (prompt_ > 0)
      measure(forward, fmt::format("pp{}{}", prompt_, at_depth), prompt_,
              [&] { forward.append(0, random_ids(loaded, prompt_), false, [](int, std::span<const float>) {}); });
    const std::string in_batch = batch_ > 1 ? fmt::format("b{}", batch_) : "";
    if (new_ > 0)
      measure(forward, fmt::format("tg{}{}{}", new_, at_depth, in_batch), new_ * batch_, [&] {
        for (int i = 0; i < new_; i++) forward.append_each(random_ids(loaded, batch_));
      });
    return 0;
  }

 private:
  std::vector<TokenId> random_ids(const LoadedModel& loaded, int count) {
    std::vector<TokenId> ids(static_cast<size_t>(count));
    const auto vocabulary = static_cast<uint64_t>(loaded.model->limits().vocabulary);
    for (TokenId& id : ids) id = static_cast<TokenId>(random_.below(vocabulary));
    return ids;
  }

  void measure(ForwardRun& forward, const std::string& test, int tokens, const std::function<void()>& work) {
    std::vector<double> runs;
    for (int round = 0; round <= repetitions_; round++) {
      const double rate = tokens / seconds(work);
      forward.rewind(depth_);
      if (round > 0) runs.push_back(rate);  // the first one warms up
    }
    std::vector<double> sorted = runs;
    std::sort(sorted.begin(), sorted.end());
    const double median = (sorted[(sorted.size() - 1) / 2] + sorted[sorted.size() / 2]) / 2;
    if (json_) {
      fmt::print("{}\n", json::serialize(json::object{
                             {"test", test}, {"t_s", median}, {"runs", json::array(runs.begin(), runs.end())}}));
    } else {
      fmt::print("{:<16} {:>10.2f} tokens/s   (of {} runs: {:.2f} to {:.2f})\n", test, median, runs.size(),
                 sorted.front(), sorted.back());
    }
  }

  void probe(const LoadedModel& loaded) const {
    ThreadPool pool(model_.threads);
    const KernelTable& kernels = select_kernels(model_.kernels);
    f32_rate(pool, kernels);  // warms up
    const double bandwidth = read_bandwidth(pool), rate = f32_rate(pool, kernels);
    if (json_) {
      fmt::print("{}\n", json::serialize(json::object{{"test", "probe"},
                                                      {"read_gb_s", bandwidth / 1e9},
                                                      {"f32_gmac_s", rate / 1e9},
                                                      {"threads", pool.threads()},
                                                      {"backend", loaded.backend->description()}}));
    } else {
      fmt::print("{}\nmemory read {:.1f} GB/s, f32 products in cache {:.1f} GMAC/s, {} threads\n",
                 loaded.backend->description(), bandwidth / 1e9, rate / 1e9, pool.threads());
    }
  }

  ModelFlags model_;
  int prompt_ = 512, new_ = 128, depth_ = 0, batch_ = 1, repetitions_ = 5;
  bool json_ = false;
  Random random_{42};
};

}  // namespace

std::unique_ptr<Command> make_bench() { return std::make_unique<Bench>(); }

}  // namespace lancet
