// YaRN against the tables of transformers, for the published models and the edges of the formula.
#include <cmath>

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/mapped_file.h"
#include "model/rope.h"
#include "support/paths.h"

namespace lancet::test {
namespace {

RopeConfig config_of(const boost::json::object& model) {
  const auto& keys = model.at("rope_parameters").as_object();
  const auto number = [&keys](const char* name) { return keys.at(name).to_number<double>(); };
  return {.kind = RopeConfig::Kind::yarn,
          .theta = number("rope_theta"),
          .factor = number("factor"),
          .beta_fast = number("beta_fast"),
          .beta_slow = number("beta_slow"),
          .original_context = static_cast<int>(number("original_max_position_embeddings")),
          .magnitude = model.at("attention_factor").to_number<double>(),
          .truncate = !keys.contains("truncate") || keys.at("truncate").as_bool(),
          .query_scale_beta = number("llama_4_scaling_beta"),
          .interleaved = false};
}

TEST(Rope, YarnFrequenciesAreThoseOfTransformers) {
  Budget budget("rope.json");
  const auto table = parse_json(read_text_file(data_path("rope.json"), 1 << 20), "rope.json", {}, budget);
  int models = 0;
  for (const auto& [name, value] : table.at("models").as_object()) {
    const auto& model = value.as_object();
    const int width = model.at("head_dim").to_number<int>();
    const RopeTable rope = make_rope_table(config_of(model), width, 262144);
    const auto& wanted = model.at("inv_freq").as_array();
    ASSERT_EQ(rope.frequency.size(), wanted.size());
    for (size_t i = 0; i < wanted.size(); i++) {
      const double frequency = wanted[i].to_number<double>();
      EXPECT_NEAR(rope.frequency[i], frequency, frequency * 2e-6) << std::string(name) << ", pair " << i;
    }
    EXPECT_EQ(rope.magnitude, model.at("attention_factor").to_number<double>());
    models++;
  }
  EXPECT_GE(models, 10);
}

TEST(Rope, QueryScaleIsThatOfTransformers) {
  Budget budget("rope.json");
  const auto table = parse_json(read_text_file(data_path("rope.json"), 1 << 20), "rope.json", {}, budget);
  const auto backend = make_cpu_backend({.threads = 1, .kernels = "", .exact = true});
  for (const auto& [name, value] : table.at("models").as_object()) {
    const auto& model = value.as_object();
    RopeConfig config = config_of(model);
    config.magnitude = 1;
    const RopeTable rope = make_rope_table(config, model.at("head_dim").to_number<int>(), 262144);
    for (const auto& pair : model.at("query_scale").as_array()) {
      const int position = pair.at(0).to_number<int>();
      Batch batch;
      batch.tokens = batch.slots = {0};
      batch.positions = {position};
      backend->begin_step(batch);
      const Matrix x = backend->scratch(1, rope.head_width);
      std::fill_n(x.data, x.cols, 0.0f);
      x.data[0] = 3.0f;  // its pair turns, its length is scaled
      backend->rope(x, rope, true);
      const double length = std::hypot(x.data[0], x.data[rope.head_width / 2]) / 3.0;
      EXPECT_NEAR(length, pair.at(1).to_number<double>(), 1e-6) << std::string(name) << " at " << position;
    }
  }
}

TEST(Rope, CosAndSinAtTheLastPositionAreThoseOfTransformers) {
  Budget budget("rope.json");
  const auto table = parse_json(read_text_file(data_path("rope.json"), 1 << 20), "rope.json", {}, budget);
  const auto backend = make_cpu_backend({.threads = 1, .kernels = "", .exact = true});
  for (const auto& [name, value] : table.at("models").as_object()) {
    const auto& model = value.as_object();
    const RopeConfig config = config_of(model);
    const int width = model.at("head_dim").to_number<int>(), half = width / 2;
    const RopeTable rope = make_rope_table(config, width, 262144);
    const int position = model.at("query_scale").as_array().back().at(0).to_number<int>();
    Batch batch;
    batch.tokens = batch.slots = {0};
    batch.positions = {position};
    backend->begin_step(batch);
    const Matrix x = backend->scratch(1, width);
    std::fill_n(x.data, half, 1.0f);
    std::fill_n(x.data + half, half, 0.0f);
    backend->rope(x, rope, false);
    // transformers works the angle out in f32: at this position it is off by up to half a unit in the last place.
    const auto& cosines = model.at("cos_at_last_position").as_array();
    for (int i = 0; i < half; i++) {
      const double slack = 1e-5 + position * double{rope.frequency[static_cast<size_t>(i)]} * 3e-7;
      EXPECT_NEAR(x.data[i], cosines[static_cast<size_t>(i)].to_number<double>(), slack * config.magnitude)
          << std::string(name) << ", pair " << i;
    }
  }
}

TEST(Rope, PlainFrequenciesFallGeometrically) {
  const RopeTable rope = make_rope_table({.theta = 100.0}, 4, 16);
  EXPECT_FLOAT_EQ(rope.frequency[0], 1.0f);
  EXPECT_FLOAT_EQ(rope.frequency[1], 0.1f);
}

TEST(Rope, RampOfNoWidthIsAStepNotADivisionByZero) {
  // Both ends fall on the same dimension.
  const RopeConfig config{.kind = RopeConfig::Kind::yarn,
                          .theta = 10000,
                          .factor = 4,
                          .beta_fast = 1e9,
                          .beta_slow = 1e8,
                          .original_context = 64};
  for (const float frequency : make_rope_table(config, 32, 64).frequency) EXPECT_TRUE(std::isfinite(frequency));
}

}  // namespace
}  // namespace lancet::test
