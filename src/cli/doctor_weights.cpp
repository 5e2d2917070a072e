#include "cli/doctor_weights.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/doctor_text.h"

namespace lancet {
namespace {

constexpr std::string_view kSection = "weights";
constexpr uint64_t kMostNumbers = 5'000'000'000;  // some 10 s on two cores; more are sampled
constexpr uint64_t kSmallTensor = 1 << 14;        // numbers; all norms of all layers are a few hundred thousand

struct Explanation {
  std::string_view cause, what, advice;
};
constexpr std::string_view kDownload = "download the file again";
constexpr std::string_view kConvert = "take the model as published, or another conversion of it";
constexpr Explanation kExplanations[] = {
    {"not-finite", "numbers that are NaN or infinite (the file is damaged, the output will be noise)", kDownload},
    {"all-zero", "nothing but zeros (a download that broke off, or a failed conversion)", kDownload},
    {"zero-rows", "many rows of zeros (a download that broke off, or a failed conversion)", kDownload},
    {"scale-one", "8-bit codes with a scale of 1 (their scales are missing, the output will be noise)", kConvert},
    {"scale-inverted", "inverted scales (the output will be noise)", kConvert},
    {"scale-lost", "far too large numbers (codes whose scales were lost in a conversion, the output will be noise)",
     kConvert},
    {"size-outlier",
     "numbers several times as large or small as in the layers beside (a wrong scale, or another tensor)", kConvert},
    {"transposed", "transposed matrices (the output will be noise)", kConvert},
    {"keys-and-values-swapped", "attention.k and attention.v exchanged", kConvert},
};

void report_suspicion(const Suspicion& suspicion, Report& report) {
  for (const Explanation& explanation : kExplanations) {
    if (explanation.cause != suspicion.cause) continue;
    const size_t count = suspicion.tensors.size();
    report.problem(kSection, suspicion.cause,
                   fmt::format("{}: {} tensor{}, the first is {}: {}", explanation.what, count, count == 1 ? "" : "s",
                               suspicion.tensors.front(), suspicion.detail),
                   std::string(explanation.advice));
  }
}

void report_all(const std::vector<Suspicion>& found, Report& report) {
  for (const Suspicion& suspicion : found) report_suspicion(suspicion, report);
}

void examine_values(const ModelConfig& config, Report& report) {
  constexpr const char* kAdvice = "take the configuration from the model's own repository";
  const TextConfig& text = config.text;
  if (text.norm_epsilon > 1e-4 || text.norm_epsilon < 1e-12)
    report.problem("configuration", "norm-epsilon",
                   fmt::format("the norms' epsilon is {:g}; models have 1e-6 or 1e-5", text.norm_epsilon), kAdvice);
  if (text.rope.theta < 1000 || text.rope.theta > 1e11)
    report.problem("configuration", "rope-theta",
                   fmt::format("rope theta is {:g}; models have 1e4 to 1e9", text.rope.theta), kAdvice);
  for (const std::string& note : config.notes) {
    // A flag that contradicts the files (checkpoint/open.cpp).
    if (note.find("the file has none: the embedding is used") != std::string::npos)
      report.problem("configuration", "head-missing", note,
                     "download the weights again: the tensor of the output head is missing");
    else
      report.note("configuration", note);
  }
}

/// FP8 codes reach 448, and weights stay far below 100: their scales are small.
void examine_scale_values(const Checkpoint& checkpoint, Report& report) {
  constexpr float kLargeScale = 0.25f;
  std::vector<std::string> large;
  for (const StoredTensor& tensor : checkpoint.tensors()) {
    const std::vector<float>& values = tensor.scale.values;
    if (std::any_of(values.begin(), values.end(), [](float value) { return value > kLargeScale; }))
      large.push_back(fmt::format("{} ({:.3g})", tensor.name, *std::max_element(values.begin(), values.end())));
  }
  if (large.empty()) return;
  report.problem(kSection, "scale-odd",
                 fmt::format("{} of {} FP8 tensors have a scale above {}, as if it were missing or inverted; the first "
                             "is {}",
                             large.size(), checkpoint.fp8_tensor_count(), kLargeScale, large.front()),
                 "run `lancet doctor` on the model");
}

double numbers_of(std::span<const TensorStats> all) {
  double sum = 0;
  for (const TensorStats& stats : all) sum += static_cast<double>(stats.tensor->rows * stats.tensor->cols);
  return sum;
}

void examine_layers(std::span<const TensorStats> all, const TextConfig& text, Report& report) {
  if (const auto found = find_transposed(all, text.layers)) report_suspicion(*found, report);
  if (const auto found = find_swapped_keys(all, text)) report_suspicion(*found, report);
  const LayerSwap swap = best_layer_swap(all, text.layers);
  if (swap.gain > kLayerSwapGain)
    report.problem(
        kSection, "layers-swapped",
        fmt::format("layers {} and {} are exchanged: their norms fit each other's place", swap.first, swap.second),
        std::string(kConvert));
}

}  // namespace

void examine_config(const Checkpoint& checkpoint, Report& report) {
  examine_values(checkpoint.config(), report);
  std::vector<StoredTensor> small;
  for (const StoredTensor& tensor : checkpoint.tensors())
    if (static_cast<uint64_t>(tensor.rows * tensor.cols) <= kSmallTensor) small.push_back(tensor);
  ThreadPool alone(1);
  report_all(find_damage(measure_tensors(small, 1, alone)), report);
}

void examine_at_load(const Checkpoint& checkpoint, const Tokenizer& tokenizer, Report& report) {
  examine_config(checkpoint, report);
  examine_scale_values(checkpoint, report);
  examine_chat(checkpoint.chat_template(), tokenizer, report);
}

std::vector<TensorStats> examine_weights(const Checkpoint& checkpoint, const Deadline& deadline, Report& report) {
  const std::span<const StoredTensor> tensors = checkpoint.tensors();
  uint64_t numbers = 0;
  for (const StoredTensor& tensor : tensors) numbers += static_cast<uint64_t>(tensor.rows * tensor.cols);
  const auto row_step = static_cast<int64_t>(numbers / kMostNumbers + 1);
  ThreadPool pool(0);
  const int before = report.problems();
  std::vector<TensorStats> all = measure_tensors(tensors, row_step, pool, [&] { return deadline.left() <= 0; });
  if (all.size() < tensors.size())
    report.left_out(kSection, fmt::format("{} of {} tensors", tensors.size() - all.size(), tensors.size()));
  const TextConfig& text = checkpoint.config().text;
  report_all(find_damage(all), report);
  report_all(find_wrong_scales(all), report);
  if (report.problems() == before) {  // what is damaged is an outlier as well
    report_all(find_outliers(all, text.layers), report);
    if (row_dispersion(all) > kTrainedDispersion) examine_layers(all, text, report);
  }
  if (report.problems() == before && !all.empty())
    report.good(kSection, fmt::format("{} tensors, {:.4g} numbers: finite, no tensor zero, scales and sizes as usual",
                                      all.size(), numbers_of(all)));
  if (row_step > 1) report.note(kSection, fmt::format("one row in {} was read, for lack of time", row_step));
  return all;
}

}  // namespace lancet
