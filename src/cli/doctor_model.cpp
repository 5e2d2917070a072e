#include "cli/doctor_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "cli/doctor_sample.h"
#include "cli/forward.h"
#include "model/model.h"

namespace lancet {
namespace {

constexpr std::string_view kSection = "model";
// Perplexity of the sample: 10 to 30 for models of 0.1 to 10 billion weights; a model that knows only how often words
// occur has several hundred.
constexpr double kBadSurprise = 4.6;   // log(100)
constexpr double kGoodSurprise = 3.7;  // log(40): a change that brings it there is the cause
constexpr double kSameSurprise = 0.2;  // a change that helps less than this explains nothing
constexpr double kNearUniform = 0.9;   // share of the logarithm of the vocabulary
constexpr double kExplains = 0.5;      // share of what is above kBadSurprise that a change must take away
constexpr double kArithmeticLimit = 0.25;
constexpr size_t kFewTokens = 16;
constexpr size_t kSearchTokens = 128;            // of the text, for each change that is tried
constexpr double kSecondsPerWeight = 15 / 4e9;   // of the comparison, on two busy cores
constexpr double kComparedWork = 2e9;            // weights times tokens
constexpr uint64_t kLargeModel = 1'000'000'000;  // weights; above, a shorter text is read

std::vector<TokenId> sample_ids(const Tokenizer& tokenizer, size_t most) {
  Budget budget("the sample text");
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  std::vector<TokenId> ids;
  if (vocabulary.bos) ids.push_back(*vocabulary.bos);
  const std::string text = std::string(kSampleEnglish) + std::string(kSampleCode);
  for (const TokenId id : tokenizer.encode(text, false, budget).ids)
    if (ids.size() < most) ids.push_back(id);
  return ids;
}

uint64_t weights_of(const Checkpoint& checkpoint) {
  uint64_t count = 0;
  for (const StoredTensor& tensor : checkpoint.tensors()) count += static_cast<uint64_t>(tensor.rows * tensor.cols);
  return count;
}

/// No panels are kept: a model is read once or twice.
BackendOptions once(bool exact) {
  BackendOptions options{.kernels = exact ? "scalar" : "", .exact = exact};
  options.packing.memory = 0;
  return options;
}

void add_prediction(Reading& reading, std::span<const float> logits, TokenId next) {
  const double maximum = *std::max_element(logits.begin(), logits.end());
  double sum = 0, weighted = 0;
  for (const float logit : logits) {
    const double p = std::exp(logit - maximum);
    sum += p;
    weighted += p * (logit - maximum);
  }
  const double log_sum = std::log(sum);
  reading.surprise += log_sum + maximum - logits[static_cast<size_t>(next)];
  reading.entropy += log_sum - weighted / sum;
}

/// The change that makes the model predict best.
struct Best {
  const Hypothesis* hypothesis = nullptr;
  double surprise = 0;
  int tried = 0, untried = 0;
};

/// Tries changes on a part of the text, as long as there is time.
class Search {
 public:
  Search(const Checkpoint& checkpoint, std::span<const TokenId> ids, const Deadline& deadline)
      : checkpoint_(checkpoint), ids_(ids), deadline_(deadline) {
    const double before = deadline.left();
    surprise_ = read_text(checkpoint, ids).surprise;
    took_ = before - deadline.left();
  }
  /// Without a change.
  double surprise() const { return surprise_; }

  Best best_of(std::span<const Hypothesis> hypotheses) const {
    Best best{.surprise = surprise_ - kSameSurprise};
    double longest = took_;
    for (const Hypothesis& hypothesis : hypotheses) {
      const double before = deadline_.left();
      if (best.hypothesis && best.surprise < kGoodSurprise) break;
      if (before < 2 * longest + 1) {
        best.untried++;
        continue;
      }
      AlteredCheckpoint altered(checkpoint_);
      if (!hypothesis.change(altered)) continue;
      const Reading reading = read_text(altered, ids_);
      longest = std::max(longest, before - deadline_.left());
      best.tried++;
      if (!reading.finite || reading.surprise > best.surprise) continue;
      best.surprise = reading.surprise;
      best.hypothesis = &hypothesis;
    }
    return best;
  }

  /// A model that predicts badly must do much better, not just better.
  bool explains(const Best& best, bool bad) const {
    if (!best.hypothesis) return false;
    return !bad || surprise_ - best.surprise > kExplains * (surprise_ - kBadSurprise);
  }

 private:
  const Checkpoint& checkpoint_;
  std::span<const TokenId> ids_;
  const Deadline& deadline_;
  double surprise_ = 0, took_ = 0;  // nats; seconds
};

void report_cause(const Best& best, double surprise, Report& report) {
  report.problem(kSection, best.hypothesis->cause,
                 fmt::format("{}: the perplexity of the sample text falls from {:.4g} to {:.4g} without that",
                             best.hypothesis->text, std::exp(surprise), std::exp(best.surprise)),
                 best.hypothesis->advice);
}

/// Nothing that was tried explains it.
void report_noise(const Reading& reading, double uniform, int untried, Report& report) {
  const bool random = reading.entropy > kNearUniform * uniform;
  report.problem(
      kSection, "text-is-noise",
      fmt::format("the output will be noise: the sample text has perplexity {:.4g}, and the model {}{}",
                  std::exp(reading.surprise), random ? "finds all words equally likely" : "is sure of the wrong words",
                  untried > 0 ? fmt::format("; {} possible causes were not tried for lack of time", untried) : ""),
      "download the model again, or take another conversion of it");
}

void report_mismatch(const Reading& reading, Report& report) {
  report.problem(
      kSection, "vocabulary-mismatch",
      fmt::format("the output will be noise (perplexity {:.4g}): the rows of the embedding and the tokens do "
                  "not belong together, as with another model's tokenizer or shuffled rows",
                  std::exp(reading.surprise)),
      "take tokenizer and weights from the same repository and revision");
}

void report_gates(const std::vector<int>& layers, Report& report) {
  if (layers.empty()) return;
  report.problem(
      kSection, "gate-and-up-swapped",
      fmt::format("ffn.gate and ffn.up are exchanged in layer {}{}: what should be the gate is positive as "
                  "often as negative, and the other is not",
                  layers.front(), layers.size() > 1 ? fmt::format(" and at least {} more", layers.size() - 1) : ""),
      "take another conversion of the model, or convert it again");
}

/// A problem that is known already makes a model predict badly.
bool explained_already(const Report& report) {
  return std::any_of(report.findings().begin(), report.findings().end(), [](const Finding& finding) {
    if (finding.outcome != Outcome::problem) return false;
    return finding.section == "weights" || finding.section == "configuration" ||
           finding.cause.starts_with("tokenizer") || finding.cause == "gate-and-up-swapped";
  });
}

}  // namespace

Reading read_text(const Checkpoint& checkpoint, std::span<const TokenId> ids) {
  const auto backend = make_cpu_backend(once(false));
  const auto model = load_model(checkpoint, *backend);
  ForwardRun forward(*model, 1, static_cast<int>(ids.size()));
  Reading reading;
  size_t count = 0;
  forward.append(0, ids, true, [&](int position, std::span<const float> logits) {
    const auto next = static_cast<size_t>(position) + 1;
    if (next >= ids.size()) return;
    count++;
    add_prediction(reading, logits, ids[next]);
  });
  reading.surprise /= static_cast<double>(std::max<size_t>(count, 1));
  reading.entropy /= static_cast<double>(std::max<size_t>(count, 1));
  reading.finite = std::isfinite(reading.surprise) && std::isfinite(reading.entropy);
  return reading;
}

std::string step_name(int step) {
  return fmt::format("layer {}, {}", step / 2, step % 2 ? "feed-forward" : "attention");
}

std::optional<StreamDifference> first_difference(std::span<const StreamStep> reference, std::span<const StreamStep> run,
                                                 double limit, StreamDifference& worst) {
  std::optional<StreamDifference> first;
  for (size_t i = 0; i < std::min(reference.size(), run.size()); i++) {
    double difference = 0, size = 0;
    for (size_t j = 0; j < std::min(reference[i].added.size(), run[i].added.size()); j++) {
      const double wanted = reference[i].added[j], off = run[i].added[j] - wanted;
      difference += off * off;
      size += wanted * wanted;
    }
    const double relative = std::isfinite(difference) ? std::sqrt(difference / std::max(size, 1e-30))
                                                      : std::numeric_limits<double>::infinity();
    const StreamDifference here{static_cast<int>(i), relative};
    if (relative > worst.relative) worst = here;
    if (!first && relative > limit) first = here;
  }
  return first;
}

std::vector<int> swapped_gates(std::span<const GateSigns> gates, int ffn) {
  constexpr double kFar = 0.08;
  const double noise = 2.5 / std::sqrt(static_cast<double>(ffn));  // five times that of so many fair coins
  std::vector<int> layers;
  for (size_t i = 0; i < gates.size(); i++) {
    const double up = std::abs(gates[i].up - 0.5), gate = std::abs(gates[i].gate - 0.5);
    if (up > std::max(kFar, noise) && up > 2 * gate) layers.push_back(static_cast<int>(i));
  }
  return layers;
}

void compare_arithmetic(const Checkpoint& checkpoint, std::span<const TokenId> ids, bool trained, Report& report) {
  const double most = kComparedWork / static_cast<double>(weights_of(checkpoint));
  ids = ids.first(std::min(ids.size(), static_cast<size_t>(std::clamp(most, 4.0, 24.0))));
  std::vector<GateSigns> gates;
  const auto run = [&](bool exact, const std::vector<StreamStep>* reference) {
    const auto backend = make_cpu_backend(once(exact));
    WatchedBackend watched(*backend, reference);
    const auto model = load_model(checkpoint, watched);
    ForwardRun(*model, 1, static_cast<int>(ids.size())).append(0, ids, false, [](int, std::span<const float>) {});
    if (exact) gates = watched.gates();
    return watched.steps();
  };
  const std::vector<StreamStep> reference = run(true, nullptr);
  for (size_t i = 0; i < reference.size(); i++) {
    const auto& stream = reference[i].stream;
    if (std::all_of(stream.begin(), stream.end(), [](float x) { return std::isfinite(x); })) continue;
    return report.problem(
        kSection, "not-finite-result",
        fmt::format("the first number that is not finite comes out of {}", step_name(static_cast<int>(i))),
        "download the model again: its weights are damaged");
  }
  if (trained) report_gates(swapped_gates(gates, checkpoint.config().text.ffn), report);
  StreamDifference worst;
  if (const auto first = first_difference(reference, run(false, &reference), kArithmeticLimit, worst)) {
    return report.problem(kSection, "arithmetic-differs",
                          fmt::format("the fast arithmetic differs from its definition by {:.0f} %, first in {}",
                                      100 * first->relative, step_name(first->step)),
                          "serve with `--kernels scalar` or `--exact`, and report this: it is a fault of Lancet or of "
                          "this CPU");
  }
  report.good(kSection, fmt::format("the fast arithmetic agrees with its definition in all {} half layers, within "
                                    "{:.1f} % ({})",
                                    reference.size(), 100 * worst.relative, step_name(worst.step)));
}

void examine_predictions(const Checkpoint& checkpoint, const Tokenizer& tokenizer, ModelSigns signs,
                         const Deadline& deadline, Report& report) {
  const size_t most = weights_of(checkpoint) > kLargeModel ? 64 : 256;
  const auto ids = sample_ids(tokenizer, std::min(most, static_cast<size_t>(checkpoint.config().text.context)));
  if (ids.size() < kFewTokens) return report.note(kSection, "nothing was computed: too little English fits into it");
  const double needed = kSecondsPerWeight * static_cast<double>(weights_of(checkpoint));
  if (deadline.left() < needed) return report.left_out(kSection, "what the model computes");
  compare_arithmetic(checkpoint, ids, signs.trained, report);
  if (deadline.left() < needed / 2) return report.left_out(kSection, "how the model predicts text");
  const Reading reading = read_text(checkpoint, ids);
  if (!reading.finite) {
    if (!report.has("not-finite-result"))
      report.problem(kSection, "not-finite-result", "the model's predictions are not finite numbers",
                     "download the model again: its weights are damaged");
    return;
  }
  const double uniform = std::log(static_cast<double>(tokenizer.size()));
  const std::string found = fmt::format("the sample text has perplexity {:.4g} (no knowledge at all: {})",
                                        std::exp(reading.surprise), tokenizer.size());
  if (!signs.trained)
    return report.note(kSection, found +
                                     "; its weights look like random numbers, so its text is noise, as of an "
                                     "untrained model: it computes what its files say");
  const bool bad = reading.surprise > kBadSurprise;
  if (bad && explained_already(report)) return report.note(kSection, found);
  if (bad && !signs.coherent) return report_mismatch(reading, report);
  const Search search(checkpoint, std::span(ids).first(std::min<size_t>(ids.size(), kSearchTokens)), deadline);
  std::vector<Hypothesis> hypotheses = whole_model_hypotheses(checkpoint);
  if (!bad) std::erase_if(hypotheses, [](const Hypothesis& hypothesis) { return !hypothesis.subtle; });
  const Best whole = search.best_of(hypotheses);
  if (search.explains(whole, bad)) return report_cause(whole, search.surprise(), report);
  if (!bad)
    return report.good(kSection,
                       fmt::format("{}; none of {} other readings of the files does better{}", found, whole.tried,
                                   whole.untried ? fmt::format(" ({} not tried: no time)", whole.untried) : ""));
  const std::vector<Hypothesis> singles = single_layer_hypotheses(checkpoint);
  const Best single = search.best_of(singles);
  if (search.explains(single, bad)) return report_cause(single, search.surprise(), report);
  report_noise(reading, uniform, whole.untried + single.untried, report);
}

}  // namespace lancet
