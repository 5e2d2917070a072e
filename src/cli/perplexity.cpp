// perplexity: how well a model predicts a text, and how far its predictions are from a reference's. The text is cut
// into chunks that know nothing of each other; the first half of a chunk is context, the second half counts, so every
// counted prediction has seen at least half a chunk: what llama.cpp's tools/perplexity does, chunk by chunk alike.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include <fmt/format.h>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/error.h"
#include "base/mapped_file.h"
#include "cli/command.h"
#include "cli/forward.h"
#include "cli/model_flags.h"

namespace lancet {
namespace {
namespace json = boost::json;

constexpr size_t kTextLimit = size_t{64} << 20;
// Rows of the reference whose predictions are kept while the model catches up: 32 MiB for 131,072 tokens.
constexpr size_t kRows = 64;

/// Mean and its standard error of numbers seen one by one.
class Mean {
 public:
  void add(double x) {
    count_++;
    const double off = x - mean_;
    mean_ += off / count_;
    squares_ += off * (x - mean_);
  }
  double mean() const { return mean_; }
  /// 0 while there are fewer than two numbers.
  double error() const { return count_ < 2 ? 0 : std::sqrt(squares_ / (count_ - 1) / count_); }

 private:
  double count_ = 0, mean_ = 0, squares_ = 0;
};

/// The number below which `share` of the sorted numbers lie, interpolated.
double quantile(std::span<const double> sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (at - static_cast<double>(below));
}

/// One prediction: the logits, and what makes log-probabilities of them.
struct Prediction {
  std::span<const float> logits;
  size_t top;          // the likeliest token; the first of equals
  double log_divisor;  // log(sum(exp(logits)))

  explicit Prediction(std::span<const float> logits)
      : logits(logits), top(static_cast<size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin())) {
    const double maximum = logits[top];
    double sum = 0;
    for (const float logit : logits) sum += std::exp(logit - maximum);
    log_divisor = maximum + std::log(sum);
  }
  double logprob(size_t token) const { return logits[token] - log_divisor; }
};

/// KL(reference || model) in nats. Rounding can leave a tiny negative number where both agree: it counts as 0.
double divergence(const Prediction& reference, const Prediction& model) {
  double sum = 0;
  for (size_t token = 0; token < model.logits.size(); token++) {
    const double wanted = reference.logprob(token);
    sum += std::exp(wanted) * (wanted - model.logprob(token));
  }
  return std::max(sum, 0.0);
}

class Perplexity : public Command {
 public:
  void declare(Flags& flags) override {
    model_.declare(flags);
    flags.required("--model");
    flags.add("-f,--file", file_, "a file with the text; what looks like a control token in it stays text");
    flags.required("--file");
    flags.add("--reference", reference_, "also the distance to this model: a directory, a .gguf file or a hub name");
    flags.add("--reference-exact", reference_exact_,
              "run the reference (the model itself if none is named) in exact arithmetic");
    flags.add("--ctx", chunk_, "tokens of a chunk; the predictions in its second half count", 4, 1 << 20);
    flags.add("--chunks", most_chunks_, "use at most so many chunks; 0: all", 0, INT32_MAX);
    flags.add("--tokens", most_, "use at most so many tokens of the text; 0: all", 0, INT32_MAX);
    flags.add("--json", json_, "print one JSON document");
    flags.example("lancet perplexity -m MODEL -f text.txt", "perplexity of the text");
    flags.example("lancet perplexity -m MODEL -f text.txt --reference-exact --json", "what the fast arithmetic costs");
    flags.example("lancet perplexity -m Q4.gguf -f text.txt --reference F16.gguf --reference-exact",
                  "what the quantisation costs");
  }

  int run() override {
    const LoadedModel loaded = load(model_);
    std::optional<LoadedModel> reference;
    if (!reference_.empty() || reference_exact_) reference = load_reference(*loaded.model);
    const std::vector<TokenId> ids = text_ids(*loaded.tokenizer);
    const Vocabulary& vocabulary = loaded.tokenizer->vocabulary();
    ForwardRun forward(*loaded.model, 1, chunk_);
    std::optional<ForwardRun> reference_forward;
    if (reference) reference_forward.emplace(*reference->model, 1, chunk_);
    const auto chunk = static_cast<size_t>(chunk_);
    const size_t chunks =
        most_chunks_ > 0 ? std::min(ids.size() / chunk, static_cast<size_t>(most_chunks_)) : ids.size() / chunk;
    for (size_t begin = 0; begin < chunks * chunk; begin += chunk, chunks_++) {
      std::vector<TokenId> part(ids.begin() + static_cast<ptrdiff_t>(begin),
                                ids.begin() + static_cast<ptrdiff_t>(begin + chunk));
      if (vocabulary.add_bos && vocabulary.bos) part[0] = *vocabulary.bos;
      see_chunk(part, forward, reference_forward ? &*reference_forward : nullptr);
      if (!json_) report_progress(chunks);
    }
    std::sort(divergences_.begin(), divergences_.end());
    print(reference.has_value());
    return 0;
  }

 private:
  LoadedModel load_reference(const Model& model) const {
    ModelFlags flags = model_;
    if (!reference_.empty()) flags.model = reference_;
    flags.exact = reference_exact_;
    if (flags.exact) flags.kv = "f16";  // exact arithmetic has a cache of its own
    LoadedModel reference = load(flags);
    const int wanted = model.limits().vocabulary, found = reference.model->limits().vocabulary;
    if (wanted != found)
      throw Error(Fault::bad_request,
                  fmt::format("the reference {} has a vocabulary of {} tokens, the model one of {}: their predictions "
                              "cannot be compared",
                              lancet::quoted(flags.model), found, wanted));
    return reference;
  }

  /// At least one chunk of them.
  std::vector<TokenId> text_ids(const Tokenizer& tokenizer) const {
    Budget budget("the tokenizer");
    Encoded encoded = tokenizer.encode(read_text_file(file_, kTextLimit), false, budget);
    report_lost_bytes(encoded.lost_bytes);
    std::vector<TokenId>& ids = encoded.ids;
    const Vocabulary& vocabulary = tokenizer.vocabulary();
    if (vocabulary.add_bos && vocabulary.bos) ids.insert(ids.begin(), *vocabulary.bos);
    if (most_ > 0 && ids.size() > static_cast<size_t>(most_)) ids.resize(static_cast<size_t>(most_));
    if (ids.size() < static_cast<size_t>(chunk_))
      throw Error(Fault::bad_request, fmt::format("the text has {} tokens, one chunk needs {}", ids.size(), chunk_),
                  "ctx");
    return ids;
  }

  /// Position i predicts token i + 1, so the last position of a chunk has nothing to be measured by.
  void see_chunk(std::span<const TokenId> ids, ForwardRun& forward, ForwardRun* reference) {
    const size_t first = ids.size() / 2, last = ids.size() - 1;
    const auto nothing = [](int, std::span<const float>) {};
    forward.rewind(0);
    forward.append(0, ids.first(first), false, nothing);
    if (reference) {
      reference->rewind(0);
      reference->append(0, ids.first(first), false, nothing);
    }
    for (size_t begin = first; begin < last; begin += kRows) {
      const auto rows = ids.subspan(begin, std::min(kRows, last - begin));
      std::vector<float> kept;
      if (reference)
        reference->append(0, rows, true, [&](int, std::span<const float> logits) {
          kept.insert(kept.end(), logits.begin(), logits.end());
        });
      forward.append(0, rows, true, [&](int position, std::span<const float> logits) {
        const auto at = static_cast<size_t>(position);
        const auto next = static_cast<size_t>(ids[at + 1]);
        const Prediction prediction(logits);
        surprise_.add(-prediction.logprob(next));
        if (reference)
          compare(prediction, Prediction(std::span(kept).subspan((at - begin) * logits.size(), logits.size())), next);
      });
    }
  }

  void compare(const Prediction& prediction, const Prediction& wanted, size_t next) {
    reference_surprise_.add(-wanted.logprob(next));
    const double distance = divergence(wanted, prediction);
    divergences_.push_back(distance);
    divergence_.add(distance);
    same_top_.add(prediction.top == wanted.top ? 1 : 0);
  }

  void report_progress(size_t chunks) const {
    fmt::print(stderr, "\r{} of {} chunks: perplexity {:.4f}{}", chunks_ + 1, chunks, std::exp(surprise_.mean()),
               chunks_ + 1 == static_cast<int>(chunks) ? "\n" : "");
  }

  void print(bool compared) const {
    // The error of exp(x) is exp(x) times that of x, to first order.
    const auto perplexity = [](const Mean& surprise) {
      return std::pair(std::exp(surprise.mean()), std::exp(surprise.mean()) * surprise.error());
    };
    const auto [value, error] = perplexity(surprise_);
    const auto [reference_value, reference_error] = perplexity(reference_surprise_);
    const size_t positions = static_cast<size_t>(chunks_) * static_cast<size_t>(chunk_ - 1 - chunk_ / 2);
    if (json_) {
      json::object out{{"chunks", chunks_},
                       {"ctx", chunk_},
                       {"positions", positions},
                       {"perplexity", value},
                       {"perplexity_error", error}};
      if (compared) {
        out["reference_perplexity"] = reference_value;
        out["reference_perplexity_error"] = reference_error;
        out["kl"] = json::object{{"mean", divergence_.mean()},
                                 {"error", divergence_.error()},
                                 {"p90", quantile(divergences_, 0.9)},
                                 {"p99", quantile(divergences_, 0.99)},
                                 {"max", divergences_.back()}};
        out["same_top"] = same_top_.mean();
        out["same_top_error"] = same_top_.error();
      }
      fmt::print("{}\n", json::serialize(out));
      return;
    }
    fmt::print("perplexity {:.4f} +- {:.4f}   ({} positions in {} chunks of {} tokens)\n", value, error, positions,
               chunks_, chunk_);
    if (!compared) return;
    fmt::print("reference  {:.4f} +- {:.4f}\n", reference_value, reference_error);
    fmt::print("KL(reference || model) {:.6f} +- {:.6f} nats; 90 % below {:.6f}, 99 % below {:.6f}, at most {:.6f}\n",
               divergence_.mean(), divergence_.error(), quantile(divergences_, 0.9), quantile(divergences_, 0.99),
               divergences_.back());
    fmt::print("same likeliest token {:.2f} +- {:.2f} %\n", same_top_.mean() * 100, same_top_.error() * 100);
  }

  ModelFlags model_;
  std::string file_, reference_;
  bool reference_exact_ = false, json_ = false;
  int chunk_ = 512, most_ = 0, most_chunks_ = 0, chunks_ = 0;
  Mean surprise_, reference_surprise_, divergence_, same_top_;  // surprise: -log p of the token that came, nats
  std::vector<double> divergences_;
};

}  // namespace

std::unique_ptr<Command> make_perplexity() { return std::make_unique<Perplexity>(); }

}  // namespace lancet
