// The safetensors container: every way to break it ends in a sentence that names what is broken.
#include "checkpoint/safetensors.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include "base/error.h"
#include "support/checkpoint_writer.h"

namespace lancet {
namespace {

using test::error_message;
using test::safetensors_file;

std::vector<RawTensor> read(const std::string& bytes) {
  Budget budget("a test");
  return read_safetensors(std::as_bytes(std::span(bytes)), "model.safetensors", budget);
}

std::string entry(std::string_view name, std::string_view rest) { return fmt::format("\"{}\":{{{}}}", name, rest); }
std::string f32(std::string_view name, int64_t begin, int64_t end) {
  return entry(name,
               fmt::format(R"("dtype":"F32","shape":[{}],"data_offsets":[{},{}])", (end - begin) / 4, begin, end));
}

TEST(Safetensors, ReadsTensorsInTheOrderOfTheirData) {
  const std::string bytes = safetensors_file("{" + f32("b", 4, 12) + "," + f32("a", 0, 4) + "}", std::string(12, 'x'));
  const auto tensors = read(bytes);
  ASSERT_EQ(tensors.size(), 2u);
  EXPECT_EQ(tensors[0].name, "a");
  EXPECT_EQ(tensors[1].shape, std::vector<int64_t>{2});
  EXPECT_EQ(tensors[1].bytes.size(), 8u);
  EXPECT_EQ(tensors[1].bytes.data() + 8, std::as_bytes(std::span(bytes)).data() + bytes.size());
}

TEST(Safetensors, ScalarsAndEmptyTensorsAreTensors) {
  const auto tensors = read(safetensors_file({test::make_values("s", "BF16", {}, {1.0f}), {"e", "F32", {0, 3}, ""}}));
  ASSERT_EQ(tensors.size(), 2u);
  EXPECT_EQ(tensors[0].bytes.size(), 2u);
}

struct Broken {
  std::string what, bytes;
  std::vector<std::string> says;
};

std::string header_of(uint64_t length, std::string_view rest) {
  return test::little_endian(length) + std::string(rest);
}

std::vector<Broken> broken_files() {
  const auto with = [](const std::string& entries, size_t data) {
    return safetensors_file("{" + entries + "}", std::string(data, '\0'));
  };
  std::string deep(100'000, '['), many = R"("dtype":"F32","data_offsets":[0,4],"shape":[1)";
  for (int i = 1; i < 10'000; i++) many += ",1";
  return {
      {"A1 nothing", "", {"is empty"}},
      {"A1 one byte", "x", {"at byte 0", "header's length needs 8 bytes", "1 left"}},
      {"A1 seven bytes", std::string(7, '\0'), {"needs 8 bytes"}},
      {"A1 length only", header_of(5, ""), {"the header needs 5 bytes"}},
      {"A1 empty header", header_of(0, ""), {"does not begin with"}},
      {"A2 2^64-1", header_of(UINT64_MAX, "{}"), {"18446744073709551615", "100000000"}},
      {"A2 2^63", header_of(uint64_t{1} << 63, "{}"), {"at most 100000000"}},
      {"A2 past the cap", header_of(100'000'001, "{}"), {"100000001"}},
      {"A2 at the cap, past the file", header_of(100'000'000, "{}"), {"the header needs 100000000 bytes"}},
      {"A3 not UTF-8", safetensors_file("{\"\xff\":{}}", ""), {"not valid JSON"}},
      {"A3 not JSON", safetensors_file("{hello}", ""), {"not valid JSON"}},
      {"A3 space first", safetensors_file(" {}", ""), {"does not begin with \"{\""}},
      {"A3 trailing garbage", safetensors_file("{}x", ""), {"more text after its end"}},
      {"A3 deep", safetensors_file("{\"a\":" + deep + "}", ""), {"not valid JSON"}},
      {"A4 duplicate tensor", with(f32("a", 0, 4) + "," + f32("a", 4, 8), 8), {"repeats the key \"a\""}},
      {"A4 duplicate field",
       with(entry("a", R"("dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4])"), 4),
       {"repeats the key \"dtype\""}},
      {"A5 overlap",
       with(f32("first", 0, 8) + "," + f32("second", 4, 12), 12),
       {"\"first\"", "\"second\"", "overlaps"}},
      {"A5 hole", with(f32("first", 0, 4) + "," + f32("second", 8, 12), 12), {"\"first\"", "\"second\"", "hole of 4"}},
      {"A5 hole at the start", with(f32("first", 4, 8), 8), {"\"first\"", "hole"}},
      {"A5 file longer", with(f32("last", 0, 4), 8), {"4 bytes follow", "\"last\""}},
      {"A5 file shorter", with(f32("last", 0, 8), 4), {"\"last\"", "ends at byte 8", "only 4", "truncated"}},
      {"A6 begin after end",
       with(entry("a", R"("dtype":"F32","shape":[1],"data_offsets":[4,0])"), 4),
       {"\"a\"", "begins at 4", "ends before"}},
      {"A6 negative", with(entry("a", R"("dtype":"F32","shape":[1],"data_offsets":[-4,0])"), 4), {"\"a\"", "-4"}},
      {"A6 fractional", with(entry("a", R"("dtype":"F32","shape":[1],"data_offsets":[0,3.5])"), 4), {"\"a\"", "3.5"}},
      {"A6 huge",
       with(entry("a", R"("dtype":"F32","shape":[1],"data_offsets":[0,1e20])"), 4),
       {"\"a\"", "data_offsets[1]"}},
      {"A6 three offsets",
       with(entry("a", R"("dtype":"F32","shape":[1],"data_offsets":[0,4,8])"), 4),
       {"has 3 numbers"}},
      {"A7 overflow",
       with(entry("a", R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4])"), 4),
       {"\"a\"", "no whole number of bytes"}},
      {"A7 negative",
       with(entry("a", R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"), 4),
       {"\"a\"", "shape[0] is -1"}},
      {"A7 10^4 dimensions", with(entry("a", many + "]"), 4), {"\"a\"", "10000 dimensions"}},
      {"A8 sizes",
       with(entry("a", R"("dtype":"BF16","shape":[2,3],"data_offsets":[0,8])"), 8),
       {"\"a\"", "needs 12 bytes", "give it 8"}},
      {"A8 unknown dtype",
       with(entry("a", R"("dtype":"F7","shape":[1],"data_offsets":[0,4])"), 4),
       {"\"a\"", "\"F7\""}},
      {"A8 half a byte",
       with(entry("a", R"("dtype":"F4","shape":[3],"data_offsets":[0,1])"), 1),
       {"\"a\"", "no whole number of bytes"}},
      {"dtype is a number", with(entry("a", R"("dtype":32,"shape":[1],"data_offsets":[0,4])"), 4), {"dtype is 32"}},
      {"no dtype", with(entry("a", R"("shape":[1],"data_offsets":[0,4])"), 4), {"\"a\"", "dtype is missing"}},
      {"entry is a list", with("\"a\":[]", 0), {"\"a\"", "no object"}},
      {"git-LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", {"git-LFS pointer"}},
      {"a web page", "<!DOCTYPE html><html></html>", {"web page"}},
  };
}

TEST(Safetensors, RefusesBrokenFilesNamingThePart) {
  for (const Broken& broken : broken_files()) {
    const std::string message = error_message([&] { read(broken.bytes); });
    EXPECT_NE(message.find("model.safetensors"), std::string::npos) << broken.what << ": " << message;
    for (const std::string& part : broken.says) {
      EXPECT_NE(message.find(part), std::string::npos) << broken.what << ": " << message << "\n  lacks: " << part;
    }
  }
}

TEST(Safetensors, HostileNamesAreQuotedAndCut) {
  const std::string long_name(1 << 20, 'n');
  for (const std::string& name :
       {std::string("../../x"), std::string("\\u0000"), std::string("\\u202egnp.exe"), long_name, std::string()}) {
    const std::string message = error_message([&] {
      read(safetensors_file("{" + entry(name, R"("dtype":"F32","shape":[2],"data_offsets":[0,4])") + "}", "1234"));
    });
    EXPECT_NE(message.find("needs 8 bytes"), std::string::npos) << message.substr(0, 300);
    EXPECT_LT(message.size(), 400u);
    EXPECT_EQ(message.find('\0'), std::string::npos);
    EXPECT_EQ(message.find("\xe2\x80\xae"), std::string::npos);
  }
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const std::string whole =
      safetensors_file({test::make_tensor("a", "F32", {3}), test::make_tensor("b", "BF16", {4, 2})});
  for (size_t size = 0; size < whole.size(); size++) {
    EXPECT_NE(error_message([&] { read(whole.substr(0, size)); }), "") << size;
  }
  EXPECT_EQ(error_message([&] { read(whole); }), "");
}

TEST(Safetensors, IndexRefusesShardsOutsideTheFolder) {
  Budget budget("a test");
  for (const char* shard : {"/etc/passwd", "../other.safetensors", "sub/x.safetensors", "..", "", "a\\\\b"}) {
    const std::string text = fmt::format(R"({{"weight_map":{{"the.tensor":"{}"}}}})", shard);
    const std::string message = error_message([&] { read_safetensors_index(text, "index.json", budget); });
    EXPECT_NE(message.find("\"the.tensor\""), std::string::npos) << shard << ": " << message;
    EXPECT_NE(message.find("plain name"), std::string::npos) << message;
  }
}

TEST(Safetensors, IndexAndShardsMustAgree) {
  const std::string a = safetensors_file({test::make_tensor("a", "F32", {1})});
  const std::string b = safetensors_file({test::make_tensor("b", "F32", {1})});
  const auto open = [](const std::string& map, const std::string& first, const std::string& second) {
    test::TemporaryFolder folder;
    folder.write("model.safetensors.index.json", R"({"weight_map":{)" + map + "}}");
    if (!first.empty()) folder.write("one.safetensors", first);
    if (!second.empty()) folder.write("two.safetensors", second);
    Budget budget("a test");
    return open_safetensors_folder(folder.path(), "model", budget).tensors.size();
  };
  const std::string map = R"("a":"one.safetensors","b":"two.safetensors")";
  EXPECT_EQ(open(map, a, b), 2u);
  const std::string missing = error_message([&] { open(map, a, ""); });
  EXPECT_NE(missing.find("\"two.safetensors\" is not there"), std::string::npos) << missing;
  const std::string twice = error_message([&] { open(map, a, a); });
  EXPECT_NE(twice.find("\"a\" is in two shards"), std::string::npos) << twice;
  const std::string long_name = error_message([&] { open(R"("a":")" + std::string(5000, 'x') + "\"", a, b); });
  EXPECT_NE(long_name.find("is not there"), std::string::npos) << long_name;
  const std::string lacks = error_message([&] { open(R"("a":"one.safetensors","c":"two.safetensors")", a, b); });
  EXPECT_NE(lacks.find("\"c\""), std::string::npos) << lacks;
  EXPECT_NE(lacks.find("\"two.safetensors\", which has no such tensor"), std::string::npos) << lacks;
}

}  // namespace
}  // namespace lancet
