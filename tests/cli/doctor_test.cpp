// What doctor concludes from numbers, on numbers whose faults are known. tests/python/test_doctor.py plants faults in
// whole models.
#include <cmath>
#include <deque>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "cli/doctor_model.h"
#include "cli/doctor_numbers.h"
#include "cli/doctor_report.h"
#include "model/runner.h"

namespace lancet::test {
namespace {

/// Tensors in memory, of normal numbers that a test changes.
class Tensors {
 public:
  /// `gain(row, column)` is multiplied into the numbers.
  template <typename Gain>
  void add_by(const std::string& name, int64_t rows, int64_t cols, const Gain& gain) {
    Random random(values_.size() + 1);
    std::vector<float>& values = values_.emplace_back(static_cast<size_t>(rows * cols));
    for (int64_t i = 0; i < rows * cols; i++)
      values[static_cast<size_t>(i)] = static_cast<float>(0.1 * random.normal() * gain(i / cols, i % cols));
    tensors_.push_back({.name = name, .rows = rows, .cols = cols, .bytes = std::as_bytes(std::span(values))});
  }
  void add(const std::string& name, int64_t rows, int64_t cols, double size = 1) {
    add_by(name, rows, cols, [=](int64_t, int64_t) { return size; });
  }
  void add_fp8(const std::string& name, float scale) {
    Random random(codes_.size() + 1);
    std::vector<std::byte>& codes = codes_.emplace_back(64 * 64);
    for (std::byte& code : codes) code = std::byte{e4m3_from_f32(static_cast<float>(60 * random.normal()))};
    tensors_.push_back(
        {.name = name, .format = Format::f8_e4m3, .rows = 64, .cols = 64, .bytes = codes, .scale = {64, 64, {scale}}});
  }
  float& value(const std::string& name, size_t index) {
    const auto at = std::ranges::find(tensors_, name, &StoredTensor::name);
    return const_cast<float*>(reinterpret_cast<const float*>(at->bytes.data()))[index];
  }
  /// Time runs out after so many rows.
  std::vector<TensorStats> measure(int64_t row_step = 1, int64_t most_rows = INT64_MAX) {
    std::ranges::sort(tensors_, {}, &StoredTensor::name);
    ThreadPool pool(1);
    return measure_tensors(tensors_, row_step, pool, [&] { return most_rows-- <= 0; });
  }

 private:
  std::deque<std::vector<float>> values_;
  std::deque<std::vector<std::byte>> codes_;
  std::vector<StoredTensor> tensors_;
};

TEST(DoctorNumbers, CountsWhatIsNotFiniteAndSaysWhere) {
  Tensors tensors;
  tensors.add("text.0.ffn.up", 32, 16);
  tensors.value("text.0.ffn.up", 5 * 16 + 3) = NAN;
  tensors.value("text.0.ffn.up", 9 * 16) = INFINITY;
  const auto found = find_damage(tensors.measure());
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].cause, "not-finite");
  EXPECT_NE(found[0].detail.find("2 of its numbers"), std::string::npos);
  EXPECT_NE(found[0].detail.find("row 5"), std::string::npos);
}

TEST(DoctorNumbers, WhatIsNotReadToItsEndInTimeIsLeftOut) {
  Tensors tensors;
  for (const char* name : {"text.0.ffn.down", "text.0.ffn.gate", "text.0.ffn.up"}) tensors.add(name, 16, 8);
  const auto names = [&](int64_t rows) {
    std::vector<std::string> out;
    for (const TensorStats& stats : tensors.measure(1, rows)) out.push_back(stats.tensor->name);
    return out;
  };
  EXPECT_EQ(names(48).size(), 3u);
  EXPECT_EQ(names(47), (std::vector<std::string>{"text.0.ffn.down", "text.0.ffn.gate"}));
  EXPECT_EQ(names(0).size(), 0u);
}

TEST(DoctorReport, VerdictSaysWhatWasNotLookedAt) {
  Report report;
  report.good("files", "1 file");
  EXPECT_EQ(report.verdict(), "all is right");
  report.left_out("weights", "3 of 9 tensors");
  report.left_out("model", "what the model computes");
  EXPECT_EQ(report.verdict(),
            "nothing is wrong with what was looked at; not looked at, for lack of time: 3 of 9 tensors; what the model "
            "computes; --seconds gives more");
  report.problem("weights", "all-zero", "it is zero", "get another");
  EXPECT_EQ(report.verdict(), "it is zero; get another");
}

TEST(DoctorNumbers, TellsZeroTensorsFromZeroRows) {
  Tensors tensors;
  tensors.add("text.0.ffn.down", 16, 16, 0.0);
  tensors.add_by("text.0.ffn.up", 16, 16, [](int64_t row, int64_t) { return row < 8 ? 0.0 : 1.0; });
  tensors.add_by("text.0.ffn.gate", 16, 16, [](int64_t row, int64_t) { return row < 1 ? 0.0 : 1.0; });
  const auto found = find_damage(tensors.measure());
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].cause, "all-zero");
  EXPECT_EQ(found[1].cause, "zero-rows");
  EXPECT_EQ(found[1].tensors, std::vector<std::string>{"text.0.ffn.up"});
}

TEST(DoctorNumbers, NamesWrongScales) {
  for (const auto& [scale, cause] :
       {std::pair{0.002f, ""}, {500.0f, "scale-inverted"}, {1.0f, "scale-one"}, {0.0625f / 448, ""}}) {
    Tensors tensors;
    tensors.add_fp8("text.0.attention.q", scale);
    const auto found = find_wrong_scales(tensors.measure());
    EXPECT_EQ(found.empty() ? "" : found[0].cause, cause) << scale;
  }
}

TEST(DoctorNumbers, FindsTheLayerThatIsSizedUnlikeItsNeighbours) {
  Tensors tensors;
  for (int layer = 0; layer < 9; layer++)
    tensors.add(fmt::format("text.{}.ffn.down", layer), 32, 32, layer == 4 ? 10 : std::pow(1.5, layer));
  const auto found = find_outliers(tensors.measure(), 9);
  EXPECT_TRUE(found.empty());
  tensors.add("text.4.ffn.up", 32, 32, 10);
  for (int layer = 0; layer < 9; layer++)
    if (layer != 4) tensors.add(fmt::format("text.{}.ffn.up", layer), 32, 32);
  const auto outliers = find_outliers(tensors.measure(), 9);
  ASSERT_EQ(outliers.size(), 1u);
  EXPECT_EQ(outliers[0].tensors, std::vector<std::string>{"text.4.ffn.up"});
}

TEST(DoctorNumbers, RandomRowsAreAsEvenAsChanceAndTrainedOnesAreNot) {
  Tensors random, trained;
  for (int layer = 0; layer < 3; layer++) {
    random.add(fmt::format("text.{}.attention.q", layer), 128, 64);
    trained.add_by(fmt::format("text.{}.attention.q", layer), 128, 64,
                   [](int64_t row, int64_t) { return row % 2 ? 1.0 : 2.0; });
  }
  EXPECT_NEAR(row_dispersion(random.measure()), 1, 0.3);
  EXPECT_GT(row_dispersion(trained.measure()), kTrainedDispersion);
}

/// Gains that drift from layer to layer as they do in trained models; `place` says which layer stands where.
std::vector<TensorStats> drifting_norms(Tensors& tensors, const std::vector<int>& place) {
  for (size_t at = 0; at < place.size(); at++)
    for (const char* norm : {"attention_norm", "ffn_norm"})
      tensors.add_by(fmt::format("text.{}.{}", at, norm), 1, 256, [&](int64_t, int64_t col) {
        return 1e3 + 900 * std::sin(0.1 * static_cast<double>(col) + 0.4 * place[at]);
      });
  // The numbers themselves are noise, which the square below takes out: gains are what counts here.
  auto stats = tensors.measure();
  for (TensorStats& tensor : stats) {
    const int layer = place[static_cast<size_t>(tensor.tensor->name[5] - '0')];
    for (size_t col = 0; col < tensor.col_power.size(); col++)
      tensor.col_power[col] = 1e3 + 900 * std::sin(0.1 * static_cast<double>(col) + 0.4 * layer);
  }
  return stats;
}

TEST(DoctorNumbers, FindsExchangedLayers) {
  Tensors right, wrong;
  EXPECT_LT(best_layer_swap(drifting_norms(right, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}), 10).gain, kLayerSwapGain);
  const LayerSwap swap = best_layer_swap(drifting_norms(wrong, {0, 1, 7, 3, 4, 5, 6, 2, 8, 9}), 10);
  EXPECT_GT(swap.gain, kLayerSwapGain);
  EXPECT_EQ(swap.first, 2);
  EXPECT_EQ(swap.second, 7);
}

TEST(DoctorNumbers, FindsATransposedMatrix) {
  const auto by_channel = [](int64_t channel) { return channel % 3 ? 1.0 : 4.0; };
  for (const bool turned : {false, true}) {
    Tensors tensors;
    tensors.add_by("text.0.attention.q", 96, 96,
                   [&](int64_t row, int64_t col) { return by_channel(turned ? row : col); });
    tensors.add_by("text.0.attention.k", 48, 96, [&](int64_t, int64_t col) { return by_channel(col); });
    tensors.add_by("text.0.attention.o", 96, 96, [&](int64_t row, int64_t) { return by_channel(row); });
    tensors.add_by("text.0.ffn.down", 96, 64, [&](int64_t row, int64_t) { return by_channel(row); });
    const auto found = find_transposed(tensors.measure(), 1);
    EXPECT_EQ(found.has_value(), turned);
    if (turned) {
      EXPECT_EQ(found->tensors, std::vector<std::string>{"text.0.attention.q"});
    }
  }
}

std::vector<StreamStep> run(const Checkpoint& checkpoint, const std::vector<StreamStep>* reference) {
  const auto backend = make_cpu_backend({.threads = 1, .exact = true});
  WatchedBackend watched(*backend, reference);
  const auto model = load_model(checkpoint, watched);
  model->allocate_cache(4);
  Sequence sequence{random_tokens(12, 200), {0}};
  Sequence* const only[] = {&sequence};
  model->forward(next_rows(only, 12));
  return watched.steps();
}

TEST(DoctorModel, NamesTheHalfLayerThatDiffersAndNoneBehindIt) {
  const RandomCheckpoint checkpoint;
  AlteredCheckpoint altered(checkpoint);
  ASSERT_TRUE(altered.exchange("text.0.ffn.gate", "text.0.ffn.up"));
  const auto reference = run(checkpoint, nullptr);
  ASSERT_EQ(reference.size(), 4u);
  StreamDifference worst;
  EXPECT_FALSE(first_difference(reference, run(checkpoint, &reference), 0, worst));
  const auto run_of_altered = run(altered, &reference);
  const auto first = first_difference(reference, run_of_altered, 0.01, worst);
  ASSERT_TRUE(first);
  EXPECT_EQ(step_name(first->step), "layer 0, feed-forward");
  EXPECT_EQ(worst.step, first->step);
  EXPECT_EQ(run_of_altered[2].added, reference[2].added) << "the reference's stream goes on into the next layer";
}

TEST(DoctorModel, FindsExchangedGatesAndLetsFairCoinsPass) {
  const std::vector<GateSigns> gates = {{0.7, 0.5}, {0.5, 0.7}, {0.52, 0.49}, {0.45, 0.56}, {0.3, 0.6}};
  EXPECT_EQ(swapped_gates(gates, 9216), std::vector<int>{1});
  EXPECT_TRUE(swapped_gates(gates, 100).empty()) << "too few numbers to tell";
}

TEST(DoctorModel, AlteredCheckpointTransposesAndLeavesTheOriginalAlone) {
  const RandomCheckpoint checkpoint;
  AlteredCheckpoint altered(checkpoint);
  EXPECT_FALSE(altered.transpose("text.0.attention.q")) << "not square";
  EXPECT_FALSE(altered.exchange("text.0.attention.q", "text.0.attention.k")) << "of other shapes";
  EXPECT_FALSE(altered.exchange("text.0.attention.q", "text.9.attention.q")) << "not there";
  EXPECT_EQ(altered.find("text.0.attention.q")->bytes.data(), checkpoint.find("text.0.attention.q")->bytes.data());
}

TEST(DoctorReport, TheVerdictNamesACauseBeforeASymptom) {
  Report report;
  EXPECT_EQ(report.verdict(), "all is right");
  report.note("text", "worth knowing");
  EXPECT_EQ(report.verdict(), "all is right");
  report.problem("model", "text-is-noise", "noise", "try again");
  report.problem("weights", "scale-one", "the scales are missing", "take another");
  EXPECT_EQ(report.verdict(), "the scales are missing (and 1 more); take another");
  EXPECT_EQ(report.problems(), 2);
}

}  // namespace
}  // namespace lancet::test
