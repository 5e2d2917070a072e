// Whole models: what opens, what is refused, and that the refusal names what is wrong.
#include "checkpoint/checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "support/checkpoint_writer.h"

namespace lancet {
namespace {

using test::error_message;
using test::GgufWriter;
using test::TemporaryFolder;
using test::TinyFolder;

constexpr const char* kUp = "language_model.model.layers.1.mlp.up_proj.weight";

std::unique_ptr<Checkpoint> open(const TinyFolder& model) {
  TemporaryFolder folder;
  model.write(folder);
  return open_checkpoint(folder.path());
}
std::unique_ptr<Checkpoint> open(const GgufWriter& writer) {
  TemporaryFolder folder;
  return open_checkpoint(folder.write("model.gguf", writer.bytes()));
}

void expect_message(const std::string& message, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(message.find(part), std::string::npos) << message << "\n  lacks: " << part;
  }
}

TEST(Open, FolderGivesCanonicalTensorsWithScales) {
  const auto model = open(TinyFolder());
  EXPECT_EQ(model->container(), "safetensors, 1 file");
  EXPECT_EQ(model->fp8_tensor_count(), 14);
  EXPECT_EQ(model->stored_tensor_count(), 2 + 2 * (2 + 7 * 3) + 15);
  const StoredTensor& up = require(*model, "text.1.ffn.up", 16, 16);
  EXPECT_EQ(up.format, Format::f8_e4m3);
  EXPECT_EQ(up.file_name, kUp);
  EXPECT_EQ(up.scale.values, std::vector<float>{0.015625f});
  EXPECT_EQ(require(*model, "vision.patch", 8, 12).bytes.size(), 8u * 12 * 2);
  EXPECT_EQ(require(*model, "text.output_norm", 1, 16).rows, 1);
  EXPECT_EQ(model->find("text.output"), nullptr);
  EXPECT_TRUE(std::is_sorted(model->tensors().begin(), model->tensors().end(),
                             [](const auto& a, const auto& b) { return a.name < b.name; }));
  EXPECT_EQ(model->vocabulary().tokens.size(), 260u);
  EXPECT_NE(model->chat_template().find("bos_token"), std::string::npos);
}

TEST(Open, GgufGivesTheSameTensors) {
  const auto gguf = open(test::tiny_gguf());
  TinyFolder folder;
  std::erase_if(folder.tensors,
                [](const auto& t) { return t.name.starts_with("vision") || t.name.starts_with("multi"); });
  const auto safetensors = open(folder);
  EXPECT_EQ(gguf->container(), "gguf v3");
  EXPECT_FALSE(safetensors->config().vision);
  ASSERT_EQ(gguf->tensors().size(), safetensors->tensors().size());
  for (size_t i = 0; i < gguf->tensors().size(); i++) {
    const StoredTensor &a = gguf->tensors()[i], &b = safetensors->tensors()[i];
    EXPECT_EQ(std::tuple(a.name, a.rows, a.cols), std::tuple(b.name, b.rows, b.cols));
  }
}

TEST(Open, HeadOnDiskWinsOverTheTieFlag) {
  TinyFolder model;
  model.tensors.push_back(test::make_tensor("language_model.lm_head.weight", "BF16", {260, 16}));
  const auto opened = open(model);
  EXPECT_NE(opened->find("text.output"), nullptr);
  EXPECT_TRUE(std::any_of(opened->config().notes.begin(), opened->config().notes.end(),
                          [](const std::string& note) { return note.find("the head is used") != std::string::npos; }));
}

TEST(Open, WithoutAHeadOnDiskTheEmbeddingIsTheHead) {
  TinyFolder model;
  model.configure("\"tie_word_embeddings\":true", "\"tie_word_embeddings\":false");
  const auto opened = open(model);
  EXPECT_EQ(opened->find("text.output"), nullptr);
  EXPECT_TRUE(std::any_of(opened->config().notes.begin(), opened->config().notes.end(),
                          [](const auto& note) { return note.find("the embedding is used") != std::string::npos; }));
}

TEST(Open, VocabularyMayBeSmallerThanTheModelButNotLarger) {
  TinyFolder larger(test::TinySizes{.vocabulary = 270});
  const auto model = open(larger);
  EXPECT_EQ(model->vocabulary().tokens.size(), 270u);
  EXPECT_EQ(model->vocabulary().tokens.back().kind, Token::Kind::unused);
  expect_message(error_message([] { open(TinyFolder(test::TinySizes{.vocabulary = 250})); }),
                 {"tokenizer has 260 tokens", "only 250"});
}

TEST(Open, RefusesWrongScales) {
  const std::string scale = std::string(kUp) + "_scale_inv";
  TinyFolder model;
  model.remove(scale);
  expect_message(error_message([&] { open(model); }), {kUp, "F8_E4M3", "no scale"});
  model = TinyFolder();
  model.tensor(scale) = test::make_values(scale, "BF16", {2, 2}, {1, 1, 1, 1});
  expect_message(error_message([&] { open(model); }), {scale, "[2, 2]", "[16, 16]"});
  model = TinyFolder();
  model.tensor(kUp) = test::make_tensor(kUp, "BF16", {16, 16});
  expect_message(error_message([&] { open(model); }), {scale, kUp, "needs none"});
  model = TinyFolder();
  model.remove(kUp);
  expect_message(error_message([&] { open(model); }), {scale, "no weight that it belongs to"});
  model = TinyFolder();
  model.tensors.push_back(test::make_values(std::string(kUp).replace(0, 15, "") + "_scale", "F32", {}, {1}));
  expect_message(error_message([&] { open(model); }), {"another spelling"});
}

TEST(Open, ActivationScalesAreIgnoredAndNoted) {
  TinyFolder without;
  std::erase_if(without.tensors, [](const auto& t) { return t.name.ends_with(".activation_scale"); });
  const auto a = open(TinyFolder()), b = open(without);
  EXPECT_EQ(a->tensors().size(), b->tensors().size());
  EXPECT_EQ(a->stored_tensor_count(), b->stored_tensor_count() + 14);
  EXPECT_NE(a->config().notes.front().find("14 activation scales"), std::string::npos);
}

TEST(Open, RefusesNanCodesWithTheirNumber) {
  TinyFolder model;
  model.tensor(kUp).bytes[0] = '\x7f';
  model.tensor(kUp).bytes[9] = '\xff';
  expect_message(error_message([&] { open(model); }), {kUp, "2 of its 256 FP8 codes are NaN"});
}

TEST(Open, RefusesWrongShapesWithBoth) {
  TinyFolder model;
  model.tensor(kUp) = test::make_tensor(kUp, "F8_E4M3", {15, 16});
  expect_message(error_message([&] { open(model); }), {kUp, "text.1.ffn.up", "wants [16, 16]", "has [15, 16]"});
  TinyFolder vocabulary;
  vocabulary.configure("\"vocab_size\":260", "\"vocab_size\":32000");
  expect_message(error_message([&] { open(vocabulary); }), {"embed_tokens", "[32000, 16]", "[260, 16]"});
  TinyFolder norm;
  norm.tensor("language_model.model.norm.weight") =
      test::make_tensor("language_model.model.norm.weight", "BF16", {1, 16, 1});
  expect_message(error_message([&] { open(norm); }), {"norm.weight", "wants [16]", "has [1, 16, 1]"});
}

TEST(Open, RefusesMissingTensorsAndGuessesTheirNames) {
  TinyFolder model;
  model.remove("language_model.model.layers.0.input_layernorm.weight");
  expect_message(error_message([&] { open(model); }),
                 {"1 of the model's tensors is missing", "\"language_model.model.layers.0.input_layernorm.weight\""});
  TinyFolder renamed;
  for (auto& tensor : renamed.tensors) {
    const size_t at = tensor.name.find("language_model.model.layers");
    if (at == 0) tensor.name.replace(0, 20, "decoder.body");
  }
  expect_message(error_message([&] { open(renamed); }),
                 {"18 of the model's tensors are missing", "\"decoder.body.layers.*\" (46)",
                  "is \"decoder.body.layers.0.input_layernorm.weight\" what was wanted as "
                  "\"language_model.model.layers.0.input_layernorm.weight\"?"});
}

TEST(Open, RefusesTensorsThatWouldChangeTheResult) {
  TinyFolder model;
  model.tensors.push_back(test::make_tensor("language_model.model.layers.0.self_attn.q_proj.bias", "BF16", {16}));
  expect_message(error_message([&] { open(model); }), {"does not use", "language_model.model.layers.*"});
  TinyFolder deeper(test::TinySizes{.layers = 3});
  deeper.configure("\"num_hidden_layers\":3", "\"num_hidden_layers\":2");
  expect_message(error_message([&] { open(deeper); }), {"does not use"});
}

TEST(Open, RefusesTypesWithoutArithmetic) {
  TinyFolder model;
  model.tensor("language_model.model.norm.weight") = {
      "language_model.model.norm.weight", "F64", {16}, std::string(128, '\0')};
  expect_message(error_message([&] { open(model); }), {"language_model.model.norm.weight", "\"F64\""});
}

TEST(Open, RefusesTruncatedFiles) {
  TemporaryFolder folder;
  TinyFolder model;
  model.write(folder);
  const std::string bytes = test::safetensors_file(model.tensors);
  folder.write("model.safetensors", bytes.substr(0, bytes.size() - 1000));
  expect_message(error_message([&] { open_checkpoint(folder.path()); }), {"model.safetensors", "truncated"});
}

TEST(Open, NeverReadsMistralsCopyBesideHuggingFaces) {
  TemporaryFolder folder;
  TinyFolder().write(folder);
  folder.write("params.json", "nonsense");
  folder.write("consolidated.safetensors", "nonsense");
  EXPECT_EQ(open_checkpoint(folder.path())->container(), "safetensors, 1 file");
}

TEST(Open, SaysWhatAFolderHasInstead) {
  TemporaryFolder folder;
  folder.write("x.gguf", "x");
  expect_message(error_message([&] { open_checkpoint(folder.path()); }), {"without config.json", "\"x.gguf\""});
  folder.write("config.json", TinyFolder().config);
  expect_message(error_message([&] { open_checkpoint(folder.path()); }), {"neither model.safetensors", "\"x.gguf\""});
  expect_message(error_message([&] { open_checkpoint(folder.path() / "absent"); }), {"no such file or folder"});
  expect_message(error_message([&] { open_checkpoint(std::string(5000, 'x')); }), {"no such file or folder"});
}

TEST(Open, NamesWhatStandsInAModelsPlace) {
  TemporaryFolder folder;
  const auto message = [&](const std::string& bytes) {
    return error_message([&] { open_checkpoint(folder.write("model.gguf", bytes)); });
  };
  expect_message(message("version https://git-lfs.github.com/spec/v1\noid"),
                 {"model.gguf", "git-LFS pointer", "git lfs pull"});
  expect_message(message("\n<!DOCTYPE html>\n"), {"web page"});
  expect_message(message("<html>"), {"web page"});
  expect_message(message(""), {"is empty"});
  expect_message(message("PK\3\4 something"), {"is no model"});
  TinyFolder().write(folder);
  folder.write("config.json", "version https://git-lfs.github.com/spec/v1\n");
  expect_message(error_message([&] { open_checkpoint(folder.path()); }), {"config.json", "git-LFS pointer"});
}

TEST(Open, ASafetensorsFileStandsForItsFolder) {
  TemporaryFolder folder;
  TinyFolder().write(folder);
  EXPECT_EQ(open_checkpoint(folder.path() / "model.safetensors")->fp8_tensor_count(), 14);
}

TEST(Open, ChatTemplateIsFoundInEveryPlace) {
  TinyFolder model;
  model.chat_template = "from jinja";
  EXPECT_EQ(open(model)->chat_template(), "from jinja");
  model.chat_template.clear();
  model.tokenizer_config = R"({"bos_token":"<s>","chat_template":"from config"})";
  EXPECT_EQ(open(model)->chat_template(), "from config");
  model.tokenizer_config =
      R"({"chat_template":[{"name":"tool_use","template":"no"},{"name":"default","template":"yes"}]})";
  EXPECT_EQ(open(model)->chat_template(), "yes");
  model.tokenizer_config = "{}";
  EXPECT_EQ(open(model)->chat_template(), "");
  TemporaryFolder folder;
  model.write(folder);
  folder.write("chat_template.json", R"({"chat_template":"from json"})");
  EXPECT_EQ(open_checkpoint(folder.path())->chat_template(), "from json");
}

TEST(Open, TextAssetsNeedNoWeights) {
  TemporaryFolder folder;
  TinyFolder model;
  model.write(folder);
  std::filesystem::remove(folder.path() / "model.safetensors");
  EXPECT_EQ(open_text_assets(folder.path()).chat_template, model.chat_template);
  EXPECT_EQ(open_text_assets(folder.path() / "tokenizer.json").vocabulary.tokens.size(), 260u);
  folder.write("config.json", R"({"architectures":["SomethingElse"],"eos_token_id":2})");
  EXPECT_EQ(open_text_assets(folder.path()).vocabulary.tokens.size(), 260u);
  const auto gguf = folder.write("m.gguf", test::tiny_gguf().bytes());
  EXPECT_EQ(open_text_assets(gguf).chat_template, "{{ bos_token }}");
}

TEST(Open, RequireNamesBothShapes) {
  const auto model = open(TinyFolder());
  expect_message(error_message([&] { require(*model, "text.1.ffn.up", 16, 99); }), {kUp, "[16, 16]", "[16, 99]"});
  expect_message(error_message([&] { require(*model, "text.9.ffn.up", 1, 2); }), {"no tensor text.9.ffn.up", "[1, 2]"});
}

TEST(Open, RefusesGgufVocabulariesThatDoNotFit) {
  const auto message = [](const std::function<void(GgufWriter&)>& change) {
    GgufWriter writer = test::tiny_gguf();
    change(writer);
    return error_message([&] { open(writer); });
  };
  expect_message(message([](auto& w) { w.strings("tokenizer.ggml.tokens", {}); }),
                 {"tokenizer.ggml.tokens", "missing or empty"});
  expect_message(message([](auto& w) { w.i32s("tokenizer.ggml.scores", {0}); }),
                 {"scores", "has 1 values, wanted 260"});
  expect_message(message([](auto& w) { w.i32s("tokenizer.ggml.token_type", {1}); }), {"token_type", "wanted 260"});
  expect_message(message([](auto& w) { w.remove("tokenizer.ggml.model"); }), {"\"tokenizer.ggml.model\" is missing"});
  EXPECT_NE(message([](auto& w) { w.i32s("tokenizer.ggml.token_type", std::vector<int32_t>(260, 99)); }), "");
  for (const char* key : {"bos", "eos", "padding", "unknown"}) {
    const std::string full = fmt::format("tokenizer.ggml.{}_token_id", key);
    EXPECT_NE(message([&](auto& w) { w.u32(full, 260); }), "") << key;
    EXPECT_NE(message([&](auto& w) { w.i32(full, -5); }), "") << key;
    EXPECT_NE(message([&](auto& w) { w.u32(full, UINT32_MAX); }), "") << key;
  }
}

TEST(Open, RefusesGgufTensorsThatDoNotFit) {
  GgufWriter writer = test::tiny_gguf();
  writer.tensors.push_back(test::make_values("rope_freqs.weight", "F32", {4}, {1, 1, 1, 1}));
  EXPECT_EQ(open(writer)->tensors().size(), writer.tensors.size() - 1);
  writer.tensors.back() = test::make_values("rope_freqs.weight", "F32", {4}, {1, 1, 4, 8});
  expect_message(error_message([&] { open(writer); }), {"rope_freqs.weight", "Llama 3.1"});
  writer.tensors.back() = test::make_tensor("blk.0.attn_q.bias", "F32", {16});
  expect_message(error_message([&] { open(writer); }), {"does not use", "blk."});
  writer.tensors.pop_back();
  writer.tensors.pop_back();
  expect_message(error_message([&] { open(writer); }), {"blk.1.ffn_norm.weight"});
}

/// The tiny GGUF in two parts; `change` may spoil either before they are written.
std::string open_split(const std::function<void(GgufWriter&, GgufWriter&)>& change, bool write_second = true) {
  GgufWriter first = test::tiny_gguf(), second;
  const auto total = static_cast<int32_t>(first.tensors.size());
  second.tensors.assign(first.tensors.begin() + 5, first.tensors.end());
  first.tensors.resize(5);
  first.u16("split.count", 2).u16("split.no", 0).i32("split.tensors.count", total);
  second.u16("split.count", 2).u16("split.no", 1).i32("split.tensors.count", total);
  change(first, second);
  TemporaryFolder folder;
  const auto path = folder.write("m-00001-of-00002.gguf", first.bytes());
  if (write_second) folder.write("m-00002-of-00002.gguf", second.bytes());
  return error_message([&] {
    EXPECT_EQ(open_checkpoint(path)->tensors().size(), size_t(total));
    EXPECT_EQ(open_checkpoint(folder.path() / "m-00002-of-00002.gguf")->container(), "gguf v3, 2 parts");
  });
}

TEST(Open, SplitGgufsBelongTogether) {
  const auto nothing = [](auto&, auto&) {};
  EXPECT_EQ(open_split(nothing), "");
  expect_message(open_split(nothing, false), {"part 2", "\"m-00002-of-00002.gguf\""});
  expect_message(open_split([](auto& a, auto&) { a.u16("split.count", 0); }), {"\"split.count\" is 0"});
  expect_message(open_split([](auto& a, auto&) { a.u16("split.no", 2); }), {"\"split.no\" is 2", "0 to 1"});
  expect_message(open_split([](auto& a, auto&) { a.u16("split.count", 3); }), {"of-00003.gguf"});
  expect_message(open_split([](auto&, auto& b) { b.u16("split.no", 0); }), {"m-00002-of-00002.gguf", "part 1 of 2"});
  expect_message(open_split([](auto&, auto& b) { b.string("general.name", "Other"); }), {"another model", "\"Other\""});
  expect_message(open_split([](auto&, auto& b) { b.tensors.pop_back(); }), {"split.tensors.count", "different models"});
  expect_message(open_split([](auto& a, auto& b) { b.tensors.back() = a.tensors.front(); }), {"in another part too"});
}

TEST(Open, ZerosAtTheEndAreNoted) {
  TinyFolder model(test::TinySizes{.vocabulary = 600});
  std::string& bytes = model.tensor("language_model.model.embed_tokens.weight").bytes;
  std::fill(bytes.begin(), bytes.end(), '\0');
  std::rotate(model.tensors.begin(), model.tensors.begin() + 1, model.tensors.end());  // the embedding is last
  const auto notes = open(model)->config().notes;
  EXPECT_TRUE(
      std::any_of(notes.begin(), notes.end(), [](const auto& n) { return n.find("all zero") != std::string::npos; }));
}

}  // namespace
}  // namespace lancet
