// The reference checkpoints, made with other people's software: all open, and all containers of one model agree.
#include <gtest/gtest.h>

#include <cstring>

#include <boost/json/serialize.hpp>

#include "base/error.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/config_readers.h"
#include "support/checkpoint_writer.h"
#include "support/paths.h"

namespace lancet {
namespace {

namespace fs = std::filesystem;

/// All values of a tensor in f32, scale applied.
std::vector<float> values_of(const StoredTensor& tensor) {
  std::vector<float> out(static_cast<size_t>(tensor.rows * tensor.cols));
  const FormatInfo& info = format_info(tensor.format);
  info.decode(tensor.bytes.data(), out.data(), tensor.rows * tensor.cols / info.block_values);
  if (tensor.scale.values.empty()) return out;
  const int64_t across = (tensor.cols + tensor.scale.col_block - 1) / tensor.scale.col_block;
  for (int64_t r = 0; r < tensor.rows; r++) {
    for (int64_t c = 0; c < tensor.cols; c++) {
      out[size_t(r * tensor.cols + c)] *=
          tensor.scale.values[size_t(r / tensor.scale.row_block * across + c / tensor.scale.col_block)];
    }
  }
  return out;
}

/// Rows of each head from adjacent pairs (2i, 2i+1) to halves (i, i + width/2).
std::vector<float> halves_from_pairs(const std::vector<float>& from, int heads, int width, int64_t cols) {
  std::vector<float> to(from.size());
  for (int64_t row = 0; row < int64_t{heads} * width; row++) {
    const int64_t head = row / width, i = row % width;
    const int64_t target = head * width + (i % 2) * (width / 2) + i / 2;
    std::memcpy(&to[size_t(target * cols)], &from[size_t(row * cols)], size_t(cols) * sizeof(float));
  }
  return to;
}

std::vector<float> in_half_order(const Checkpoint& model, const StoredTensor& tensor) {
  const ModelConfig& config = model.config();
  const bool q = tensor.name.ends_with(".attention.q"), k = tensor.name.ends_with(".attention.k");
  const bool text = tensor.name.starts_with("text.");
  const bool interleaved = text ? config.text.rope.interleaved : config.vision->interleaved;
  std::vector<float> values = values_of(tensor);
  if (!interleaved || (!q && !k)) return values;
  const int heads = text ? (q ? config.text.heads : config.text.kv_heads) : config.vision->heads;
  return halves_from_pairs(values, heads, text ? config.text.head_width : config.vision->head_width, tensor.cols);
}

void expect_same_model(const Checkpoint& a, const Checkpoint& b, bool text_only) {
  for (const StoredTensor& tensor : a.tensors()) {
    if (text_only && !tensor.name.starts_with("text.")) continue;
    const StoredTensor& other = require(b, tensor.name, tensor.rows, tensor.cols);
    EXPECT_EQ(in_half_order(a, tensor), in_half_order(b, other)) << tensor.name;
  }
  const TextConfig &x = a.config().text, &y = b.config().text;
  EXPECT_EQ(std::tuple(x.layers, x.hidden, x.heads, x.kv_heads, x.head_width, x.ffn, x.vocabulary, x.context),
            std::tuple(y.layers, y.hidden, y.heads, y.kv_heads, y.head_width, y.ffn, y.vocabulary, y.context));
  EXPECT_EQ(std::tuple(x.norm_epsilon, x.rope.theta, x.rope.factor, x.rope.magnitude, x.rope.query_scale_beta,
                       x.rope.original_context),
            std::tuple(y.norm_epsilon, y.rope.theta, y.rope.factor, y.rope.magnitude, y.rope.query_scale_beta,
                       y.rope.original_context));
}

TEST(Oracle, EveryContainerOfTheTinyModelAgrees) {
  LANCET_NEEDS_ORACLES(oracles);
  const fs::path tiny = oracles / "tiny";
  const auto fp8 = open_checkpoint(tiny / "fp8");
  EXPECT_EQ(fp8->fp8_tensor_count(), 21);
  EXPECT_EQ(fp8->stored_tensor_count(), 95);
  for (const char* name : {"fp8-sharded", "fp8-prefix", "fp8-floatints", "native"}) {
    SCOPED_TRACE(name);
    const auto other = open_checkpoint(tiny / name);
    EXPECT_EQ(other->tensors().size(), fp8->tensors().size());
    expect_same_model(*fp8, *other, false);
  }
  for (const char* name : {"fp8-textonly", "gguf/tiny-F32.gguf"}) {
    SCOPED_TRACE(name);
    const auto other = open_checkpoint(tiny / name);
    EXPECT_FALSE(other->config().vision);
    EXPECT_EQ(other->tensors().size(), 29u);
    expect_same_model(*fp8, *other, true);
  }
}

TEST(Oracle, PowerOfTwoScalesEqualTheirBf16Image) {
  LANCET_NEEDS_ORACLES(oracles);
  expect_same_model(*open_checkpoint(oracles / "tiny/fp8-p2"), *open_checkpoint(oracles / "tiny/bf16"), false);
}

TEST(Oracle, OtherVariantsOpen) {
  LANCET_NEEDS_ORACLES(oracles);
  EXPECT_NE(open_checkpoint(oracles / "tiny/fp8-untied")->find("text.output"), nullptr);
  EXPECT_EQ(open_checkpoint(oracles / "tiny/gguf/tiny-BF16.gguf")->find("text.0.ffn.up")->format, Format::bf16);
  EXPECT_EQ(open_checkpoint(oracles / "tiny/gguf/tiny-Q8_0.gguf")->find("text.embedding")->format, Format::q8_0);
  const std::string message = test::error_message([&] { open_checkpoint(oracles / "tiny/gguf/tiny-mmproj.gguf"); });
  EXPECT_NE(message.find("mmproj"), std::string::npos) << message;
}

TEST(Oracle, TextAssetsOfAllTinyModelsHaveOneVocabulary) {
  LANCET_NEEDS_ORACLES(oracles);
  const auto names = {"fp8", "native", "gguf/tiny-F32.gguf", "native/tekken.json", "fp8/tokenizer.json"};
  const Vocabulary first = open_text_assets(oracles / "tiny/fp8").vocabulary;
  for (const char* name : names) {
    const Vocabulary other = open_text_assets(oracles / "tiny" / name).vocabulary;
    ASSERT_EQ(other.tokens.size(), first.tokens.size()) << name;
    for (size_t i = 0; i < first.tokens.size(); i++)
      ASSERT_EQ(other.tokens[i].bytes, first.tokens[i].bytes) << name << " " << i;
  }
  EXPECT_EQ(first.eos, 2);
}

TEST(Oracle, YarnMagnitudesAreTransformers) {
  LANCET_NEEDS_ORACLES(oracles);
  const std::string text = read_text_file(oracles / "tables/rope.json", 64 << 20);
  Budget budget("a test");
  const auto document = parse_json(text, "rope.json", {}, budget);
  int checked = 0;
  for (const auto& [key, value] : document.at("models").get_object()) {
    const auto* object = value.if_object();
    if (!object || !object->contains("rope_parameters") || !object->contains("attention_factor")) continue;
    const std::string config =
        R"({"architectures":["Ministral3ForCausalLM"],"hidden_size":64,"num_hidden_layers":1,)"
        R"("num_attention_heads":1,"num_key_value_heads":1,"head_dim":128,"intermediate_size":64,)"
        R"("vocab_size":99,"max_position_embeddings":262144,"rms_norm_eps":1e-5,"rope_parameters":)" +
        boost::json::serialize(object->at("rope_parameters")) + "}";
    EXPECT_NEAR(read_config_json(config, "config.json", budget).model.text.rope.magnitude,
                object->at("attention_factor").to_number<double>(), 1e-12)
        << key;
    checked++;
  }
  EXPECT_GT(checked, 0);
}

}  // namespace
}  // namespace lancet
