// The GGUF container: every way to break it ends in a sentence that names what is broken, before anything is
// allocated.
#include "checkpoint/gguf.h"

#include <gtest/gtest.h>

#include <chrono>

#include <fmt/format.h>

#include "base/error.h"
#include "checkpoint/gguf_names.h"
#include "support/checkpoint_writer.h"

namespace lancet {
namespace {

using test::error_message;
using test::GgufWriter;
using test::little_endian;

GgufFile parse(const std::string& bytes) {
  Budget budget("a test");
  return GgufFile(std::as_bytes(std::span(bytes)), "model.gguf", budget);
}

void expect_refused(const std::string& what, const std::string& bytes, const std::vector<std::string>& says) {
  const std::string message = error_message([&] { parse(bytes); });
  EXPECT_NE(message.find("model.gguf"), std::string::npos) << what << ": " << message;
  for (const std::string& part : says) {
    EXPECT_NE(message.find(part), std::string::npos) << what << ": " << message << "\n  lacks: " << part;
  }
}

std::string head(uint32_t version, uint64_t tensors, uint64_t keys) {
  return "GGUF" + little_endian(version) + little_endian(tensors) + little_endian(keys);
}

/// One tensor's row of the table, and a data section of `data` bytes.
std::string one_tensor(uint32_t dims, const std::vector<uint64_t>& shape, uint32_t type, uint64_t offset, size_t data) {
  std::string out = head(3, 1, 0) + little_endian(uint64_t{5}) + "the.t" + little_endian(dims);
  for (const uint64_t dim : shape) out += little_endian(dim);
  out += little_endian(type) + little_endian(offset);
  out.resize((out.size() + 31) / 32 * 32 + data);
  return out;
}

TEST(Gguf, ReadsKeysAndTensors) {
  GgufWriter writer;
  writer.u32("a.u32", 7).f32("a.f32", 0.1f).boolean("a.bool", true).string("a.string", "text").u16("a.u16", 9);
  writer.strings("a.strings", {"x", "", "zz"}).i32s("a.i32s", {-1, 2});
  writer.tensors = {test::make_tensor("m", "F32", {3, 5}), test::make_tensor("v", "BF16", {4})};
  const std::string bytes = writer.bytes();
  const GgufFile file = parse(bytes);
  EXPECT_EQ(file.integer("a.u32"), 7);
  EXPECT_EQ(file.integer("a.u16"), 9);
  EXPECT_EQ(file.number("a.f32"), 0.1);
  EXPECT_EQ(file.number("a.u32"), 7.0);
  EXPECT_EQ(file.boolean("a.bool"), true);
  EXPECT_EQ(file.string("a.string"), "text");
  EXPECT_EQ(file.strings("a.strings"), (std::vector<std::string_view>{"x", "", "zz"}));
  EXPECT_EQ(file.integers("a.i32s"), (std::vector<int32_t>{-1, 2}));
  EXPECT_EQ(file.integer("absent"), std::nullopt);
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.tensors()[0].shape, (std::vector<int64_t>{3, 5}));
  EXPECT_EQ(file.tensors()[0].bytes.size(), 60u);
  EXPECT_EQ(file.tensors()[1].format, Format::bf16);
}

TEST(Gguf, Version2IsRead) {
  GgufWriter writer;
  writer.version = 2;
  writer.u32("k", 1);
  EXPECT_EQ(parse(writer.bytes()).version(), 2u);
}

TEST(Gguf, RefusesBadHeaders) {
  expect_refused("B1 empty", "", {"is empty"});
  expect_refused("B1 magic", "GGML" + head(3, 0, 0).substr(4), {"does not begin with \"GGUF\""});
  for (const uint32_t version : {0u, 1u, 4u, 1u << 31}) {
    expect_refused("B1 version", head(version, 0, 0), {fmt::format("version {}", version), "2 and 3"});
  }
  expect_refused("B1 big-endian", head(0x03000000u, 0, 0), {"big-endian"});
  for (const uint64_t count : {uint64_t{UINT32_MAX}, uint64_t{1} << 63, UINT64_MAX}) {
    expect_refused("B2 keys", head(3, 0, count), {"number of keys", fmt::format("{}", count)});
    expect_refused("B2 tensors", head(3, count, 0), {"number of tensors", fmt::format("{}", count)});
  }
  expect_refused("B2 keys at the limit", head(3, 0, kGgufKeys), {"more than fit into the 0 bytes"});
  expect_refused("B2 tensors at the limit", head(3, 1 << 20, 0), {"more than fit into the 0 bytes"});
  expect_refused("B2 past the limit", head(3, 0, kGgufKeys + 1), {"at most 1048576"});
}

TEST(Gguf, RefusesBadValues) {
  const auto value = [](uint32_t type, const std::string& bytes) {
    GgufWriter writer;
    writer.raw("the.key", type, bytes);
    return writer.bytes();
  };
  const std::string huge = little_endian(uint64_t{1} << 63);
  expect_refused("B3 key of 2^63", head(3, 0, 1) + huge + "abcdefghij", {"a key claims 9223372036854775808"});
  expect_refused("B3 string of 2^63", value(8, huge), {"a string claims 9223372036854775808"});
  expect_refused("B3 string past the limit", value(8, little_endian(kGgufStringBytes + 1)),
                 {"67108865", "at most 67108864"});
  expect_refused("B3 string past the file", value(8, little_endian(uint64_t{4000})), {"needs 4000 bytes"});
  expect_refused("B3 nested", value(9, little_endian(uint32_t{9}) + little_endian(uint64_t{1})),
                 {"\"the.key\"", "array of arrays"});
  expect_refused("B3 array overflow", value(9, little_endian(uint32_t{10}) + huge),
                 {"\"the.key\" claims 9223372036854775808"});
  expect_refused("B3 array past the limit", value(9, little_endian(uint32_t{0}) + little_endian(kGgufArrayValues + 1)),
                 {"67108865"});
  expect_refused("B3 array past the file", value(9, little_endian(uint32_t{4}) + little_endian(uint64_t{64})),
                 {"64 values"});
  expect_refused("B3 strings past the file", value(9, little_endian(uint32_t{8}) + little_endian(uint64_t{2}) + huge),
                 {"2 values"});
  expect_refused("B4 type", value(13, "x"), {"\"the.key\"", "unknown type 13"});
  expect_refused("B4 element type", value(9, little_endian(uint32_t{77}) + little_endian(uint64_t{0})),
                 {"unknown type 77"});
  GgufWriter twice;
  twice.u32("b", 1).u32("a", 1);
  twice.entries.push_back(twice.entries.front());
  expect_refused("B8 key", twice.bytes(), {"key \"b\" is there twice"});
}

TEST(Gguf, RefusesBadAlignments) {
  for (const uint32_t alignment : {0u, 3u, 1u << 21, 1u << 31}) {
    GgufWriter writer;
    writer.u32("general.alignment", alignment);
    expect_refused("B5", writer.bytes(), {"\"general.alignment\"", fmt::format("is {},", alignment), "power of two"});
  }
  GgufWriter writer;
  expect_refused("B4 alignment", writer.i32("general.alignment", 32).bytes(),
                 {"\"general.alignment\"", "i32, wanted u32"});
}

TEST(Gguf, OtherAlignmentsAreRead) {
  GgufWriter writer;
  writer.alignment = 128;
  writer.u32("general.alignment", 128);
  writer.tensors = {test::make_tensor("a", "F32", {3}), test::make_tensor("b", "F32", {3})};
  const std::string bytes = writer.bytes();
  const GgufFile file = parse(bytes);
  EXPECT_EQ(file.tensors()[1].bytes.data() - file.tensors()[0].bytes.data(), 128);
}

TEST(Gguf, RefusesBadTensors) {
  expect_refused("B6 no dimensions", one_tensor(0, {}, 0, 0, 32), {"\"the.t\"", "0 dimensions"});
  expect_refused("B6 five", one_tensor(5, {1, 1, 1, 1, 1}, 0, 0, 32), {"\"the.t\"", "5 dimensions"});
  expect_refused("B6 2^32-1", one_tensor(UINT32_MAX, {1}, 0, 0, 32), {"4294967295 dimensions"});
  expect_refused("B6 zero", one_tensor(2, {4, 0}, 0, 0, 32), {"\"the.t\"", "is 0"});
  expect_refused("B6 negative", one_tensor(1, {UINT64_MAX}, 0, 0, 32), {"\"the.t\""});
  expect_refused("B6 overflow", one_tensor(2, {uint64_t{1} << 40, uint64_t{1} << 40}, 0, 0, 32),
                 {"\"the.t\"", "too large"});
  expect_refused("B7 unaligned", one_tensor(1, {4}, 0, 8, 64), {"\"the.t\"", "offset 8", "multiple of 32"});
  expect_refused("B7 past the end", one_tensor(1, {64}, 0, 0, 32),
                 {"\"the.t\"", "256 bytes", "32 bytes of data", "truncated"});
  expect_refused("B7 offset overflow", one_tensor(1, {8}, 0, UINT64_MAX - 31, 32), {"\"the.t\""});
  expect_refused("type", one_tensor(1, {4}, 99, 0, 32), {"\"the.t\"", "number 99"});
  expect_refused("type we lack", one_tensor(1, {256}, 16, 0, 99), {"\"the.t\"", "IQ2_XXS", "supported are"});
  GgufWriter writer;
  writer.tensors = {test::make_tensor("a", "F32", {16}), test::make_tensor("a", "F32", {16})};
  expect_refused("B8 tensor", writer.bytes(), {"\"a\" is there twice"});
  writer.tensors[1].name = "b";
  std::string overlapping = writer.bytes();
  const size_t row = overlapping.find("b" + little_endian(uint32_t{1}));  // name, dimensions, shape, type, offset
  overlapping.replace(row + 1 + 4 + 8 + 4, 8, little_endian(uint64_t{32}));
  expect_refused("B7 overlap", overlapping, {"\"b\"", "begins inside", "\"a\""});
}

TEST(Gguf, RefusesRowsThatEndInsideABlock) {
  constexpr std::pair<uint32_t, uint64_t> kBlocks[] = {{2, 32},   {3, 32},   {6, 32},   {7, 32},   {8, 32},  {10, 256},
                                                       {11, 256}, {12, 256}, {13, 256}, {14, 256}, {20, 32}, {23, 256}};
  for (const auto& [type, block] : kBlocks) {
    expect_refused("B14", one_tensor(2, {block + block / 2, 2}, type, 0, 4096), {"\"the.t\"", "no whole number of"});
    EXPECT_EQ(error_message([&, t = type, b = block] { parse(one_tensor(2, {b * 2, 2}, t, 0, 4096)); }), "") << type;
  }
}

TEST(Gguf, AskingForTheWrongTypeNamesTheKey) {
  GgufWriter writer;
  writer.string("k", "v").u32("n", 1).raw("big", 10, little_endian(UINT64_MAX));
  const std::string bytes = writer.bytes();
  const GgufFile file = parse(bytes);
  EXPECT_NE(error_message([&] { file.integer("k"); }).find("key \"k\" is of type string"), std::string::npos);
  EXPECT_NE(error_message([&] { file.number("k"); }).find("\"k\""), std::string::npos);
  EXPECT_NE(error_message([&] { file.string("n"); }).find("wanted a string"), std::string::npos);
  EXPECT_NE(error_message([&] { file.boolean("n"); }).find("wanted a bool"), std::string::npos);
  EXPECT_NE(error_message([&] { file.strings("n"); }).find("array of strings"), std::string::npos);
  EXPECT_NE(error_message([&] { file.integers("k"); }).find("wanted an array"), std::string::npos);
  EXPECT_NE(error_message([&] { file.integer("big"); }).find("below 2^63"), std::string::npos);
}

TEST(Gguf, EveryTruncationIsRefused) {
  const std::string whole = test::tiny_gguf(test::TinySizes{.layers = 1}).bytes();
  Budget budget("a test");
  const auto bytes = std::as_bytes(std::span(whole));
  for (size_t size = 0; size < whole.size(); size++) {
    EXPECT_THROW(GgufFile(bytes.first(size), "model.gguf", budget), Error) << size;
  }
}

double seconds_to_parse(const std::string& bytes) {
  const auto start = std::chrono::steady_clock::now();
  parse(bytes);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST(Gguf, ManyKeysAndTensorsTakeLinearTime) {
  const auto with = [](size_t keys, size_t tensors) {
    GgufWriter writer;
    std::string out = head(3, tensors, keys);
    for (size_t i = 0; i < keys; i++) {
      const std::string key = fmt::format("k{}", i);
      out += little_endian(uint64_t{key.size()}) + key + little_endian(uint32_t{0}) + "x";
    }
    for (size_t i = 0; i < tensors; i++) {
      const std::string name = fmt::format("t{}", i);
      out += little_endian(uint64_t{name.size()}) + name + little_endian(uint32_t{1}) + little_endian(uint64_t{1}) +
             little_endian(uint32_t{0}) + little_endian(uint64_t{i * 32});
    }
    out.resize((out.size() + 31) / 32 * 32 + tensors * 32);
    return out;
  };
  // Eight times as much: quadratic work would take 64 times as long. The slack is for busy machines.
  const double small = seconds_to_parse(with(20'000, 10'000)), large = seconds_to_parse(with(160'000, 80'000));
  EXPECT_LT(large, std::max(small, 0.005) * 32);
}

TEST(Gguf, LimitsAreInclusive) {
  GgufWriter string;
  string.raw("s", 8, little_endian(kGgufStringBytes) + std::string(kGgufStringBytes, 'x'));
  EXPECT_EQ(parse(string.bytes()).find("s")->bytes.size(), kGgufStringBytes + 8);
  GgufWriter array;
  array.raw("a", 9, little_endian(uint32_t{0}) + little_endian(kGgufArrayValues) + std::string(kGgufArrayValues, 'x'));
  EXPECT_EQ(parse(array.bytes()).find("a")->count, kGgufArrayValues);
  EXPECT_EQ(parse(one_tensor(kGgufDims, {4, 2, 1, 1}, 0, 0, 32)).tensors().front().shape.size(), kGgufDims);
  std::string keys = head(3, 0, kGgufKeys);
  for (uint32_t i = 0; i < kGgufKeys; i++) {
    keys += little_endian(uint64_t{4}) + little_endian(i) + little_endian(uint32_t{0}) + "x";
  }
  EXPECT_EQ(error_message([&] { parse(keys); }), "");
}

TEST(Gguf, ConfigurationIsReadWithDefaults) {
  GgufWriter writer = test::tiny_gguf();
  const std::string bytes = writer.bytes();
  const ModelConfig config = read_gguf_config(parse(bytes));
  EXPECT_EQ(config.architecture, "ministral3");
  EXPECT_EQ(config.text.head_width, 8);
  EXPECT_EQ(config.text.norm_epsilon, 1e-5);
  EXPECT_EQ(config.text.rope.query_scale_beta, 0.1);
  EXPECT_EQ(config.text.rope.beta_fast, 32.0);
  EXPECT_EQ(config.text.rope.magnitude, 1.0);
  EXPECT_TRUE(config.text.rope.interleaved);
  writer.remove("mistral3.rope.scaling.yarn_log_multiplier").remove("mistral3.vocab_size");
  const std::string older = writer.bytes();
  EXPECT_EQ(read_gguf_config(parse(older)).text.rope.magnitude, 1.0);
  EXPECT_EQ(read_gguf_config(parse(older)).text.vocabulary, 260);
}

TEST(Gguf, OllamaKeysAreRead) {
  GgufWriter writer = test::tiny_gguf();
  writer.remove("mistral3.attention.temperature_scale").f32("mistral3.rope.scaling_beta", 0.25f);
  writer.f32("mistral3.rope.scaling.beta_fast", 16.0f).f32("mistral3.rope.scaling.beta_slow", 2.0f);
  const std::string bytes = writer.bytes();
  const RopeConfig rope = read_gguf_config(parse(bytes)).text.rope;
  EXPECT_EQ(rope.query_scale_beta, 0.25);
  EXPECT_EQ(rope.beta_fast, 16.0);
  EXPECT_EQ(rope.beta_slow, 2.0);
}

struct BadKey {
  std::function<void(GgufWriter&)> change;
  std::vector<std::string> says;
};

TEST(Gguf, RefusesConfigurationsOutOfRange) {
  const std::vector<BadKey> kCases = {
      {[](auto& w) { w.u32("mistral3.block_count", 0); }, {"\"mistral3.block_count\" is 0", "from 1 to 1024"}},
      {[](auto& w) { w.u32("mistral3.block_count", 1'000'000'000); }, {"is 1000000000", "from 1 to 1024"}},
      {[](auto& w) { w.u32("mistral3.attention.head_count", 0); }, {"head_count\" is 0"}},
      {[](auto& w) { w.string("mistral3.attention.head_count", "2"); }, {"head_count\" is of type string"}},
      {[](auto& w) {
         w.i32s("mistral3.attention.head_count_kv", {1, 1});
       },
       {"head_count_kv\" is of type array"}},
      {[](auto& w) { w.u32("mistral3.attention.head_count_kv", 3); }, {"3 key-value heads"}},
      {[](auto& w) { w.f32("mistral3.rope.freq_base", 0.0f); }, {"freq_base\" is 0"}},
      {[](auto& w) { w.f32("mistral3.rope.freq_base", NAN); }, {"freq_base\" is nan"}},
      {[](auto& w) { w.remove("mistral3.embedding_length"); }, {"\"mistral3.embedding_length\" is missing"}},
      {[](auto& w) { w.remove("mistral3.rope.scaling.original_context_length"); },
       {"original_context_length\" is missing"}},
      {[](auto& w) { w.u32("mistral3.attention.value_length", 4); }, {"value_length is 4"}},
      {[](auto& w) { w.u32("mistral3.rope.dimension_count", 4); }, {"dimension_count is 4"}},
      {[](auto& w) { w.u32("mistral3.expert_count", 8); }, {"expert_count is 8"}},
      {[](auto& w) { w.string("mistral3.rope.scaling.type", "longrope"); }, {"\"longrope\""}},
      {[](auto& w) { w.string("general.architecture", "qwen9"); }, {"\"qwen9\"", "mistral3", "llama"}},
      {[](auto& w) { w.string("general.architecture", "clip"); }, {"mmproj", "text model"}},
      {[](auto& w) { w.string("general.type", "adapter"); }, {"general.type", "\"adapter\""}},
      {[](auto& w) { w.remove("general.architecture"); }, {"\"general.architecture\" is missing"}},
  };
  for (const BadKey& bad : kCases) {
    GgufWriter writer = test::tiny_gguf();
    bad.change(writer);
    const std::string bytes = writer.bytes();
    const std::string message = error_message([&] { read_gguf_config(parse(bytes)); });
    for (const std::string& part : bad.says) {
      EXPECT_NE(message.find(part), std::string::npos) << message << "\n  lacks: " << part;
    }
  }
}

}  // namespace
}  // namespace lancet
