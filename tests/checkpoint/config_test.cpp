// config.json and params.json: every generation of spelling gives the same numbers, and numbers that no model has are
// refused with the key and the range.
#include <gtest/gtest.h>

#include <cmath>

#include <fmt/format.h>

#include "base/error.h"
#include "checkpoint/config_limits.h"
#include "checkpoint/config_readers.h"
#include "support/checkpoint_writer.h"
#include "support/paths.h"

namespace lancet {
namespace {

using test::error_message;

SafetensorsConfig read(const std::string& text) {
  Budget budget("a test");
  return read_config_json(text, "config.json", budget);
}
SafetensorsConfig read_native(const std::string& text) {
  Budget budget("a test");
  return read_params_json(text, "params.json", budget);
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

constexpr const char* kLlama =
    R"({"architectures":["LlamaForCausalLM"],"hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,)"
    R"("intermediate_size":128,"vocab_size":300,"max_position_embeddings":2048,"rms_norm_eps":1e-6,)"
    R"("hidden_act":"silu"})";

constexpr const char* kNative =
    R"({"dim":64,"n_layers":3,"head_dim":32,"hidden_dim":128,"n_heads":4,"n_kv_heads":2,"rope_theta":10000.0,)"
    R"("norm_eps":1e-05,"vocab_size":1536,"tied_embeddings":true,"max_position_embeddings":1024,)"
    R"("llama_4_scaling":{"original_max_position_embeddings":64,"beta":0.1},"q_lora_rank":null,)"
    R"("yarn":{"original_max_position_embeddings":64,"factor":16.0,"apply_scale":false,"beta":32.0,"alpha":1.0}})";

TEST(Config, ReadsTheNestedForm) {
  const SafetensorsConfig config = read(test::TinyFolder().config);
  const TextConfig& text = config.model.text;
  EXPECT_EQ(config.model.architecture, "ministral3");
  EXPECT_EQ(text.layers, 2);
  EXPECT_EQ(text.head_width, 8);
  EXPECT_EQ(text.rope.kind, RopeConfig::Kind::yarn);
  EXPECT_EQ(text.rope.magnitude, 1.0);
  EXPECT_EQ(text.rope.original_context, 64);
  EXPECT_EQ(text.rope.query_scale_beta, 0.1);
  EXPECT_FALSE(text.rope.interleaved);
  ASSERT_TRUE(config.model.vision);
  EXPECT_EQ(config.model.vision->merge, 2);
  EXPECT_EQ(config.tied, true);
  EXPECT_TRUE(config.model.notes.empty()) << config.model.notes.front();
}

TEST(Config, EveryValueHasAnOrigin) {
  const SafetensorsConfig config = read(test::TinyFolder().config);
  const auto origin = [&](std::string_view name) {
    for (const ConfigOrigin& o : config.model.origins) {
      if (o.name == name) return fmt::format("{} <- {} ({})", o.value, o.key, o.file);
    }
    return std::string("none");
  };
  EXPECT_EQ(origin("text.head_width"), "8 <- text_config.head_dim (config.json)");
  EXPECT_EQ(origin("text.rope.theta"), "10000 <- text_config.rope_parameters.rope_theta (config.json)");
  EXPECT_EQ(origin("text.rope.truncate"), "true <- default (config.json)");
  EXPECT_EQ(origin("vision.patch"), "2 <- vision_config.patch_size (config.json)");
}

TEST(Config, IntegralFloatsAreIntegers) {
  const std::string text =
      replaced(test::TinyFolder().config, "\"max_position_embeddings\":1024", "\"max_position_embeddings\":1024.0");
  EXPECT_EQ(read(text).model.text.context, 1024);
}

TEST(Config, FlatLlamaHasDefaults) {
  const ModelConfig config = read(kLlama).model;
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.text.kv_heads, 4);
  EXPECT_EQ(config.text.head_width, 16);
  EXPECT_EQ(config.text.rope.theta, 10000.0);
  EXPECT_EQ(config.text.rope.kind, RopeConfig::Kind::plain);
  EXPECT_FALSE(config.vision);
}

TEST(Config, RopeIsFoundInEverySpelling) {
  const auto rope = [](const std::string& extra) {
    return read(replaced(kLlama, "}", "," + extra + "}")).model.text.rope;
  };
  EXPECT_EQ(rope(R"("rope_theta":500000)").theta, 500000.0);
  EXPECT_EQ(rope(R"("rope_parameters":{"rope_theta":7.0,"rope_type":"default"})").theta, 7.0);
  const RopeConfig yarn = rope(R"("rope_theta":9.0,"rope_scaling":{"type":"yarn","factor":4.0,)"
                               R"("original_max_position_embeddings":512})");
  EXPECT_EQ(yarn.theta, 9.0);
  EXPECT_EQ(yarn.factor, 4.0);
  EXPECT_DOUBLE_EQ(yarn.magnitude, 0.1 * std::log(4.0) + 1.0);
  EXPECT_EQ(rope(R"("rope_scaling":null,"rope_theta":3.0)").theta, 3.0);
}

TEST(Config, YarnMagnitudeFollowsPythonTruthiness) {
  const auto magnitude = [](std::string_view mscales) {
    return read(replaced(test::TinyFolder().config, R"("mscale":1.0,"mscale_all_dim":1.0)", mscales))
        .model.text.rope.magnitude;
  };
  const double alone = 0.1 * std::log(16.0) + 1.0;
  EXPECT_DOUBLE_EQ(magnitude(R"("mscale":1.0,"mscale_all_dim":1.0)"), 1.0);
  EXPECT_DOUBLE_EQ(magnitude(R"("mscale":1.0,"mscale_all_dim":0.0)"), alone);
  EXPECT_DOUBLE_EQ(magnitude(R"("mscale":null)"), alone);
  EXPECT_DOUBLE_EQ(magnitude(R"("mscale":1.0,"mscale_all_dim":0.5)"), alone / (0.05 * std::log(16.0) + 1.0));
  EXPECT_DOUBLE_EQ(magnitude(R"("attention_factor":0.75)"), 0.75);
}

TEST(Config, UnknownKeysAreNoted) {
  const ModelConfig config = read(replaced(kLlama, "}", R"(,"surprise":1})")).model;
  ASSERT_EQ(config.notes.size(), 1u);
  EXPECT_NE(config.notes[0].find("\"surprise\""), std::string::npos);
  const auto nested = read(replaced(test::TinyFolder().config, "\"head_dim\":8,", "\"head_dim\":8,\"odd\":[],")).model;
  ASSERT_EQ(nested.notes.size(), 1u);
  EXPECT_NE(nested.notes[0].find("in text_config were ignored: \"odd\""), std::string::npos) << nested.notes[0];
}

TEST(Config, SpecialIdsComeFromEitherLevel) {
  EXPECT_EQ(read(replaced(kLlama, "}", R"(,"eos_token_id":[1,2]})")).special_ids, R"({"eos_token_id":[1,2]})");
  const std::string nested = replaced(test::TinyFolder().config, "\"sliding_window\":null", "\"bos_token_id\":1");
  EXPECT_EQ(read(nested).special_ids, R"({"bos_token_id":1})");
}

TEST(Config, ScaleBlockIsRead) {
  const auto config =
      read(replaced(test::TinyFolder().config, "\"weight_block_size\":null", "\"weight_block_size\":[64,32]"));
  EXPECT_EQ(config.scale_block, (std::pair<int64_t, int64_t>(64, 32)));
}

struct Refusal {
  std::string from, to;
  std::vector<std::string> says;
};

void expect_refusals(const std::string& base, const std::vector<Refusal>& refusals,
                     SafetensorsConfig (*reader)(const std::string&)) {
  for (const Refusal& refusal : refusals) {
    const std::string message = error_message([&] { reader(replaced(base, refusal.from, refusal.to)); });
    EXPECT_NE(message, "") << refusal.to;
    for (const std::string& part : refusal.says) {
      EXPECT_NE(message.find(part), std::string::npos) << refusal.to << ": " << message << "\n  lacks: " << part;
    }
  }
}

TEST(Config, RefusesNumbersThatNoModelHas) {
  const std::string heads = "\"num_attention_heads\":2", theta = "\"rope_theta\":10000.0";
  expect_refusals(
      test::TinyFolder().config,
      {
          {heads, "\"num_attention_heads\":0", {"config.json", "text_config.num_attention_heads", "from 1 to 1024"}},
          {heads, "\"num_attention_heads\":\"2\"", {"text_config.num_attention_heads is \"2\"", "from 1 to 1024"}},
          {heads, "\"num_attention_heads\":2.5", {"num_attention_heads is 2.5"}},
          {"\"num_hidden_layers\":2", "\"num_hidden_layers\":1000000000", {"num_hidden_layers", "from 1 to 1024"}},
          {"\"num_key_value_heads\":1", "\"num_key_value_heads\":3", {"2 attention heads", "3 key-value heads"}},
          {"\"head_dim\":8,\"hidden_act\"", "\"head_dim\":7,\"hidden_act\"", {"head width is 7", "even"}},
          {"\"hidden_size\":16,", "", {"text_config.hidden_size is missing"}},
          {"\"vocab_size\":260", "\"vocab_size\":-1", {"vocab_size is -1", "from 1 to 16777216"}},
          {theta, "\"rope_theta\":0", {"rope_parameters.rope_theta is 0", "from 1 to"}},
          {theta, "\"rope_theta\":NaN", {"not valid JSON"}},
          {theta, "\"rope_theta\":1e999", {"config.json"}},
          {"\"rms_norm_eps\":1e-05", "\"rms_norm_eps\":0", {"rms_norm_eps is 0", "1e-12 to 0.1"}},
          {"\"factor\":16.0", "\"factor\":0.5", {"factor is 0.5", "from 1 to 4096"}},
          {"\"patch_size\":2", "\"patch_size\":0", {"vision_config.patch_size is 0", "from 1 to 256"}},
          {"\"image_size\":8", "\"image_size\":46340000", {"image_size", "from 1 to 16384"}},
          {"\"spatial_merge_size\":2", "\"spatial_merge_size\":0", {"spatial_merge_size is 0"}},
          {"\"weight_block_size\":null", "\"weight_block_size\":[0,128]", {"weight_block_size[0] is 0"}},
          {"\"text_config\":{", "\"text_config\":[{}],\"x\":{", {"text_config"}},
      },
      read);
}

TEST(Config, RefusesWhatItDoesNotCompute) {
  expect_refusals(
      test::TinyFolder().config,
      {
          {"\"rope_type\":\"yarn\"", "\"rope_type\":\"longrope\"", {"\"longrope\"", "yarn"}},
          {"\"quant_method\":\"fp8\"", "\"quant_method\":\"awq\"", {"\"awq\"", "\"fp8\""}},
          {"\"sliding_window\":null", "\"sliding_window\":512", {"sliding_window is 512", "full attention"}},
          {"\"hidden_act\":\"silu\"", "\"hidden_act\":\"gelu\"", {"hidden_act is \"gelu\""}},
          {"\"multimodal_projector_bias\":false", "\"multimodal_projector_bias\":true", {"multimodal_projector_bias"}},
          {"\"vision_feature_layer\":-1", "\"vision_feature_layer\":-2", {"vision_feature_layer is -2"}},
          {"\"model_type\":\"pixtral\"", "\"model_type\":\"siglip\"", {"\"siglip\""}},
          {"\"Mistral3ForConditionalGeneration\"", "\"GPT2LMHeadModel\"", {"GPT2LMHeadModel", "LlamaForCausalLM"}},
      },
      read);
  expect_refusals(kLlama,
                  {{"}", R"(,"attention_bias":true})", {"attention_bias"}},
                   {"}", R"(,"rope_scaling":{"factor":2.0}})", {"rope_scaling.factor is 2"}},
                   {"}", R"(,"rope_scaling":{"rope_type":"llama3","factor":8.0}})", {"\"llama3\""}}},
                  read);
  EXPECT_NE(error_message([] { read("{}"); }).find("is it a model's configuration?"), std::string::npos);
  EXPECT_NE(error_message([] { read("[]"); }), "");
}

TEST(Config, MistralWithoutWindowIsALlama) {
  const std::string mistral = replaced(kLlama, "LlamaForCausalLM", "MistralForCausalLM");
  EXPECT_EQ(read(replaced(mistral, "}", R"(,"sliding_window":null})")).model.architecture, "llama");
  EXPECT_NE(error_message([&] { read(replaced(mistral, "}", R"(,"sliding_window":1024})")); }), "");
}

TEST(Config, ReadsParamsJson) {
  const ModelConfig config = read_native(kNative).model;
  EXPECT_EQ(config.architecture, "ministral3");
  EXPECT_EQ(config.text.hidden, 64);
  EXPECT_EQ(config.text.ffn, 128);
  EXPECT_EQ(config.text.rope.beta_fast, 32.0);
  EXPECT_EQ(config.text.rope.original_context, 64);
  EXPECT_EQ(config.text.rope.magnitude, 1.0);
  EXPECT_TRUE(config.text.rope.interleaved);
  const std::string scaled = replaced(kNative, "\"apply_scale\":false", "\"apply_scale\":true");
  EXPECT_DOUBLE_EQ(read_native(scaled).model.text.rope.magnitude, 0.1 * std::log(16.0) + 1.0);
}

TEST(Config, RefusesBadParamsJson) {
  expect_refusals(kNative,
                  {
                      {"\"n_heads\":4", "\"n_heads\":0", {"params.json", "n_heads is 0", "from 1 to 1024"}},
                      {"\"q_lora_rank\":null", "\"q_lora_rank\":512", {"\"q_lora_rank\""}},
                      {"\"dim\":64,", "", {"dim is missing"}},
                      {"{\"original_max_position_embeddings\":64,\"beta\"",
                       "{\"original_max_position_embeddings\":128,\"beta\"",
                       {"128", "64"}},
                  },
                  read_native);
}

}  // namespace
}  // namespace lancet
