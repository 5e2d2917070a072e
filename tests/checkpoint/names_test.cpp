// Every published spelling of a tensor name means the same tensor, and a scale finds its weight.
#include "checkpoint/safetensors_names.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/error.h"
#include "support/checkpoint_writer.h"

namespace lancet {
namespace {

using Role = SafetensorsName::Role;
using test::error_message;

TEST(Names, EveryPublishedPrefixGivesTheCanonicalName) {
  const std::pair<const char*, const char*> kCases[] = {
      {"language_model.model.embed_tokens.weight", "text.embedding"},
      {"model.language_model.embed_tokens.weight", "text.embedding"},
      {"model.embed_tokens.weight", "text.embedding"},
      {"tok_embeddings.weight", "text.embedding"},
      {"language_model.lm_head.weight", "text.output"},
      {"lm_head.weight", "text.output"},
      {"model.lm_head.weight", "text.output"},
      {"output.weight", "text.output"},
      {"language_model.model.norm.weight", "text.output_norm"},
      {"norm.weight", "text.output_norm"},
      {"language_model.model.layers.3.self_attn.q_proj.weight", "text.3.attention.q"},
      {"model.language_model.layers.12.mlp.down_proj.weight", "text.12.ffn.down"},
      {"model.layers.0.post_attention_layernorm.weight", "text.0.ffn_norm"},
      {"layers.7.attention.wo.weight", "text.7.attention.o"},
      {"layers.7.feed_forward.w3.weight", "text.7.ffn.up"},
      {"vision_tower.patch_conv.weight", "vision.patch"},
      {"model.vision_tower.ln_pre.weight", "vision.norm"},
      {"vision_tower.transformer.layers.5.attention.k_proj.weight", "vision.5.attention.k"},
      {"vision_encoder.transformer.layers.5.feed_forward.w1.weight", "vision.5.ffn.gate"},
      {"multi_modal_projector.patch_merger.merging_layer.weight", "projector.merge"},
      {"model.multi_modal_projector.linear_2.weight", "projector.2"},
      {"vision_language_adapter.w_in.weight", "projector.1"},
      {"pre_mm_projector_norm.weight", "projector.norm"},
  };
  for (const auto& [theirs, ours] : kCases) {
    const auto name = parse_safetensors_name(theirs);
    EXPECT_EQ(name.canonical, ours) << theirs;
    EXPECT_EQ(name.role, Role::weight) << theirs;
  }
}

TEST(Names, ScalesBelongToTheirModule) {
  const std::string module = "model.layers.1.mlp.up_proj";
  for (const char* suffix : {".weight_scale_inv", ".weight_scale", ".qscale_weight"}) {
    EXPECT_EQ(parse_safetensors_name(module + suffix).role, Role::weight_scale);
  }
  for (const char* suffix : {".activation_scale", ".input_scale", ".qscale_act"}) {
    EXPECT_EQ(parse_safetensors_name(module + suffix).role, Role::activation_scale);
  }
  EXPECT_EQ(parse_safetensors_name("layers.0.attention.wq.fake_quantizer.scale").role, Role::skipped);
}

TEST(Names, OtherNamesMeanNothing) {
  for (const char* name : {"", "weight", ".weight", "model.layers.weight", "model.layers.x.mlp.up_proj.weight",
                           "model.layers.01.mlp.up_proj.weight", "model.layers.-1.mlp.up_proj.weight",
                           "model.layers.99999999999.mlp.up_proj.weight", "model.layers.0.self_attn.q_proj.bias",
                           "vision_tower.layers.0.attention_norm.weight", "model.layers.0.self_attn.k_scale"}) {
    EXPECT_EQ(parse_safetensors_name(name).role, Role::unknown) << name;
  }
}

TEST(Names, SpellingIsTheInverseOfParsing) {
  ModelConfig config;
  config.text.layers = 11;
  config.vision = VisionConfig{.layers = 2};
  for (const WantedTensor& wanted : wanted_tensors(config)) {
    EXPECT_EQ(parse_safetensors_name(spell_safetensors_name(wanted.name)).canonical, wanted.name);
    EXPECT_EQ(parse_safetensors_name(spell_native_name(wanted.name)).canonical, wanted.name);
  }
}

RawTensor raw(const test::WriterTensor& tensor, Format format) {
  return {tensor.name, "f", tensor.type, format, tensor.shape, std::as_bytes(std::span(tensor.bytes))};
}

ScaleGrid grid(std::vector<int64_t> shape, const std::vector<float>& values, int64_t rows, int64_t cols,
               std::optional<std::pair<int64_t, int64_t>> block = {}) {
  const auto tensor = test::make_values("the.scale", "F32", std::move(shape), values);
  return read_scale_grid(raw(tensor, Format::f32), rows, cols, block);
}

TEST(Scales, ShapeSaysWhatAScaleCovers) {
  const ScaleGrid scalar = grid({}, {0.5f}, 300, 200), one = grid({1}, {0.5f}, 300, 200);
  EXPECT_EQ(scalar.row_block, 300);
  EXPECT_EQ(scalar.col_block, 200);
  EXPECT_EQ(one.values, std::vector<float>{0.5f});
  const ScaleGrid rows = grid({3}, {1, 2, 3}, 3, 200), column = grid({3, 1}, {1, 2, 3}, 3, 200);
  EXPECT_EQ(rows.row_block, 1);
  EXPECT_EQ(rows.col_block, 200);
  EXPECT_EQ(column.values, rows.values);
  const ScaleGrid deduced = grid({3, 2}, {1, 2, 3, 4, 5, 6}, 300, 200);
  EXPECT_EQ(deduced.row_block, 128);
  EXPECT_EQ(deduced.values.size(), 6u);
  const ScaleGrid told = grid({2, 4}, {1, 2, 3, 4, 5, 6, 7, 8}, 100, 200, std::pair<int64_t, int64_t>{64, 50});
  EXPECT_EQ(told.row_block, 64);
  EXPECT_EQ(told.col_block, 50);
}

TEST(Scales, AllThreeNumberFormatsAreRead) {
  for (const auto& [type, format] : {std::pair{"F32", Format::f32}, {"F16", Format::f16}, {"BF16", Format::bf16}}) {
    const auto tensor = test::make_values("s", type, {}, {0.25f});
    EXPECT_EQ(read_scale_grid(raw(tensor, format), 4, 4, {}).values, std::vector<float>{0.25f}) << type;
  }
}

TEST(Scales, MisfitsAndNonsenseAreRefused) {
  const float inf = std::numeric_limits<float>::infinity();
  const auto message = [](std::vector<int64_t> shape, std::vector<float> values) {
    return error_message([&] { grid(shape, values, 128, 64); });
  };
  EXPECT_NE(message({2, 2}, {1, 1, 1, 1}).find("shape [2, 2] does not fit a weight of shape [128, 64]"),
            std::string::npos);
  EXPECT_NE(message({2}, {1, 1}).find("\"the.scale\""), std::string::npos);
  EXPECT_NE(message({}, {0.0f}).find("is 0, wanted a finite number above 0"), std::string::npos);
  EXPECT_NE(message({}, {-1.0f}).find("is -1"), std::string::npos);
  EXPECT_NE(message({}, {inf}).find("is inf"), std::string::npos);
  EXPECT_NE(message({}, {NAN}).find("nan"), std::string::npos);
}

}  // namespace
}  // namespace lancet
