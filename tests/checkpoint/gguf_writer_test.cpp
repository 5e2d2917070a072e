// A GGUF's head as it is written, seen through the reader, and which formats a mix gives.
#include "checkpoint/gguf_writer.h"

#include <gtest/gtest.h>

#include "checkpoint/format_mix.h"

namespace lancet {
namespace {

std::vector<std::byte> with_data(std::vector<std::byte> file, std::span<const GgufTensor> tensors) {
  for (const GgufTensor& tensor : tensors) file.resize(file.size() + padded_bytes(tensor));
  return file;
}

TEST(GgufWriter, WhatIsWrittenIsRead) {
  GgufMetadata metadata;
  const std::vector<std::string> words = {"a", "", "naïve"};
  const std::vector<int32_t> numbers = {1, -2, 3};
  metadata.add("text", "mistral3");
  metadata.add("count", uint32_t{7});
  metadata.add("share", 0.1f);
  metadata.add("is", true);
  metadata.add("words", words);
  metadata.add("numbers", numbers);
  const GgufTensor tensors[] = {
      {"gain", Format::f32, 1, 5}, {"half", Format::f16, 3, 7}, {"blocks", Format::q4_k, 2, 512}};
  const std::vector<std::byte> bytes = with_data(gguf_header(metadata, tensors), tensors);
  Budget budget("reading");
  const GgufFile file(bytes, "file", budget);
  EXPECT_EQ(file.string("text"), "mistral3");
  EXPECT_EQ(file.integer("count"), 7);
  EXPECT_EQ(file.number("share"), 0.1);
  EXPECT_EQ(file.boolean("is"), true);
  EXPECT_EQ(file.strings("words"), std::vector<std::string_view>(words.begin(), words.end()));
  EXPECT_EQ(file.integers("numbers"), numbers);
  ASSERT_EQ(file.tensors().size(), 3u);
  for (size_t i = 0; i < 3; i++) {
    const RawTensor& tensor = file.tensors()[i];
    EXPECT_EQ(tensor.name, tensors[i].name);
    EXPECT_EQ(tensor.format, tensors[i].format);
    EXPECT_EQ(tensor.bytes.size(), tensors[i].bytes());
  }
  EXPECT_EQ(file.tensors()[0].shape, std::vector<int64_t>({5}));
  EXPECT_EQ(file.tensors()[1].shape, std::vector<int64_t>({3, 7}));
  EXPECT_EQ(file.tensors()[2].bytes.data() + file.tensors()[2].bytes.size(), bytes.data() + bytes.size());
}

TEST(GgufWriter, AnotherFilesValuesAreCopiedBitForBit) {
  GgufMetadata metadata, copy;
  const std::vector<std::string> words = {"x", "yz"};
  metadata.add("words", words);
  metadata.add("share", 0.25f);
  const std::vector<std::byte> bytes = gguf_header(metadata, {});
  Budget budget("reading");
  const GgufFile file(bytes, "file", budget);
  copy.add(*file.find("words"));
  copy.add(*file.find("share"));
  EXPECT_EQ(gguf_header(copy, {}), bytes);
}

class FormatMixTest : public testing::Test {
 protected:
  FormatMixTest() { text_.layers = 16, text_.heads = 32, text_.kv_heads = 8; }
  Format format(std::string_view mix, std::string_view name, int64_t cols = 1024, bool head = false) const {
    return mix_format(*find_format_mix(mix), {name, 1024, cols, head}, text_);
  }
  TextConfig text_;
};

TEST_F(FormatMixTest, TheUsualMixKeepsMoreBitsWhereTheyCount) {
  EXPECT_EQ(format("q4_k_m", "text.5.attention.q"), Format::q4_k);
  EXPECT_EQ(format("q4_k", "text.0.ffn.down"), Format::q6_k);  // the first eighth of the layers
  EXPECT_EQ(format("q4_k", "text.2.ffn.down"), Format::q4_k);
  EXPECT_EQ(format("q4_k", "text.4.attention.v"), Format::q6_k);  // every third
  EXPECT_EQ(format("q4_k", "text.15.attention.v"), Format::q6_k);
  EXPECT_EQ(format("q4_k", "text.embedding"), Format::q4_k);
  EXPECT_EQ(format("q4_k", "text.embedding", 1024, true), Format::q6_k);
  EXPECT_EQ(format("q8_0", "text.output", 1024, true), Format::q8_0);
  EXPECT_EQ(format("bf16", "text.output", 1024, true), Format::bf16);
}

TEST_F(FormatMixTest, RowsThatDoNotDivideGetAFormatOfSmallerBlocks) {
  EXPECT_EQ(format("q4_k", "text.2.ffn.up", 576), Format::q5_0);
  EXPECT_EQ(format("q5_k", "text.2.ffn.up", 576), Format::q5_1);
  EXPECT_EQ(format("q2_k", "text.2.ffn.up", 576), Format::q4_0);
  EXPECT_EQ(format("q4_k", "text.0.ffn.down", 576), Format::q8_0);
  EXPECT_EQ(format("q4_0", "text.2.ffn.up", 100), Format::f16);
}

TEST_F(FormatMixTest, VectorsStayExact) {
  for (const FormatMix& mix : format_mixes())
    EXPECT_EQ(mix_format(mix, {"text.output_norm", 1, 1024, false}, text_), Format::f32) << mix.name;
}

}  // namespace
}  // namespace lancet
