// Damaged models: every truncation and thousands of changed bytes end in an Error or in a valid model, and never make
// the reader take more memory than it is worth. Anything else (a crash, another exception) fails by itself.
#include <gtest/gtest.h>

#include <cstring>

#include <fmt/format.h>

#include "allocation_counter.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "base/random.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/gguf.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/tokenizer_readers.h"
#include "support/checkpoint_writer.h"
#include "support/paths.h"

namespace lancet {
namespace {

constexpr size_t kMemoryBound = 64 << 20;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kMutations = 2'000;  // each takes ten times as long there
#else
constexpr int kMutations = 10'000;
#endif

struct Outcome {
  int opened = 0, refused = 0;
  size_t peak = 0;
};

/// Opens the model and looks at every tensor's first and last byte, which must lie inside a map.
void try_open(const std::filesystem::path& path, Outcome& outcome) {
  test::reset_allocation_peak();
  try {
    const auto model = open_checkpoint(path);
    unsigned sum = 0;
    for (const StoredTensor& tensor : model->tensors()) {
      sum += static_cast<unsigned>(tensor.bytes.front()) + static_cast<unsigned>(tensor.bytes.back());
      ASSERT_EQ(tensor.bytes.size(), size_t(row_bytes(tensor.format, tensor.cols) * tensor.rows)) << tensor.name;
    }
    ASSERT_EQ(model->vocabulary().tokens.size(), size_t(model->config().text.vocabulary));
    outcome.opened += sum < UINT32_MAX;
  } catch (const Error& error) {
    ASSERT_FALSE(error.message().empty());
    ASSERT_NE(error.fault(), Fault::internal);
    outcome.refused++;
  }
  outcome.peak = std::max(outcome.peak, test::allocation_peak());
}

/// One to three changed bytes: any value, one bit, or a boundary value.
std::string mutate(const std::string& bytes, size_t within, Random& random) {
  constexpr unsigned char kBoundaries[] = {0, 1, 0x7f, 0x80, 0xff, '"', '{', '[', ',', '9', '-', 'e'};
  std::string out = bytes;
  for (uint64_t i = 0, count = 1 + random.below(3); i < count; i++) {
    char& c = out[random.below(std::min(within, out.size()))];
    switch (random.below(3)) {
      case 0: c = static_cast<char>(random.next()); break;
      case 1: c = static_cast<char>(c ^ (1 << random.below(8))); break;
      default: c = static_cast<char>(kBoundaries[random.below(std::size(kBoundaries))]);
    }
  }
  return out;
}

TEST(Robustness, MutatedFoldersAreRefusedOrValid) {
  test::TemporaryFolder folder;
  const test::TinyFolder model(test::TinySizes{.layers = 1});
  model.write(folder);
  const std::string weights = test::safetensors_file(model.tensors);
  uint64_t header = 0;
  std::memcpy(&header, weights.data(), sizeof(header));
  const std::pair<const char*, const std::string*> kFiles[] = {{"model.safetensors", &weights},
                                                               {"config.json", &model.config},
                                                               {"tokenizer_config.json", &model.tokenizer_config},
                                                               {"generation_config.json", &model.generation_config}};
  Random random(1);
  Outcome outcome;
  for (int i = 0; i < kMutations; i++) {
    // Three of four in the weights' header, where structure is; the rest anywhere in the small files.
    const auto& [name, bytes] = kFiles[random.below(4) ? 0 : 1 + random.below(3)];
    const size_t within = bytes == &weights && random.below(8) ? header + 8 : bytes->size();
    folder.write(name, mutate(*bytes, within, random));
    try_open(folder.path(), outcome);
    folder.write(name, *bytes);
  }
  EXPECT_GT(outcome.opened, kMutations / 50);
  EXPECT_GT(outcome.refused, kMutations / 4);
  EXPECT_LE(outcome.peak, kMemoryBound);
  RecordProperty("opened", outcome.opened);
}

TEST(Robustness, MutatedGgufsAreRefusedOrValid) {
  test::TemporaryFolder folder;
  const std::string bytes = test::tiny_gguf(test::TinySizes{.layers = 1}).bytes();
  Random random(2);
  Outcome outcome;
  for (int i = 0; i < kMutations; i++) {
    const size_t within = random.below(8) ? (random.below(2) ? 1600 : bytes.size() * 2 / 3) : bytes.size();
    try_open(folder.write("m.gguf", mutate(bytes, within, random)), outcome);
  }
  EXPECT_GT(outcome.opened, kMutations / 50);
  EXPECT_GT(outcome.refused, kMutations / 4);
  EXPECT_LE(outcome.peak, kMemoryBound);
}

TEST(Robustness, MutatedIndexesAreRefusedOrValid) {
  test::TemporaryFolder folder;
  const test::TinyFolder model(test::TinySizes{.layers = 1});
  model.write(folder);
  std::filesystem::remove(folder.path() / "model.safetensors");
  const auto middle = model.tensors.begin() + 9;  // one layer straddles the border
  folder.write("a.safetensors", test::safetensors_file(std::vector(model.tensors.begin(), middle)));
  folder.write("b.safetensors", test::safetensors_file(std::vector(middle, model.tensors.end())));
  std::string index = R"({"metadata":{"total_size":1},"weight_map":{)";
  for (auto at = model.tensors.begin(); at != model.tensors.end(); ++at) {
    index += fmt::format(R"({}"{}":"{}.safetensors")", at == model.tensors.begin() ? "" : ",", at->name,
                         at < middle ? "a" : "b");
  }
  index += "}}";
  Outcome whole, outcome;
  folder.write("model.safetensors.index.json", index);
  try_open(folder.path(), whole);
  EXPECT_EQ(whole.opened, 1);
  Random random(3);
  for (int i = 0; i < 1000; i++) {
    folder.write("model.safetensors.index.json", mutate(index, index.size(), random));
    try_open(folder.path(), outcome);
  }
  EXPECT_GT(outcome.refused, 250);
  EXPECT_LE(outcome.peak, kMemoryBound);
}

/// Both tokenizer formats, read whole from the small vocabulary of our own.
TEST(Robustness, MutatedTokenizersAreRefusedOrValid) {
  using Read = Vocabulary (*)(std::string_view, const std::string&, Budget&);
  const std::pair<const char*, Read> kFormats[] = {{"tokenizer/small-tokenizer.json", read_tokenizer_json},
                                                   {"tokenizer/small-tekken.json", read_tekken}};
  for (const auto& [name, read] : kFormats) {
    const std::string bytes = read_text_file(test::data_path(name), 1 << 20);
    Random random(4);
    Outcome outcome;
    for (int i = 0; i < kMutations; i++) {
      test::reset_allocation_peak();
      try {
        Budget budget("the test", {.steps = 1 << 24});
        outcome.opened += !read(mutate(bytes, bytes.size(), random), name, budget).tokens.empty();
      } catch (const Error& error) {
        ASSERT_FALSE(error.message().empty());
        outcome.refused++;
      }
      outcome.peak = std::max(outcome.peak, test::allocation_peak());
    }
    EXPECT_GT(outcome.opened, kMutations / 50) << name;
    EXPECT_GT(outcome.refused, kMutations / 4) << name;
    EXPECT_LE(outcome.peak, kMemoryBound) << name;
  }
}

/// Lengths in a stride that shares no factor with the formats' alignments. Every single length is tried without files,
/// in safetensors_test and gguf_test.
void truncate_all(const std::string& bytes, const std::function<void(const std::string&)>& open) {
  for (size_t size = 0; size < bytes.size(); size += 37) open(bytes.substr(0, size));
}

TEST(Robustness, EveryTruncationIsRefused) {
  test::TemporaryFolder folder;
  Outcome outcome;
  int tried = 0;
  const std::string gguf = test::tiny_gguf(test::TinySizes{.layers = 1}).bytes();
  truncate_all(gguf, [&](const std::string& bytes) {
    try_open(folder.write("m.gguf", bytes), outcome);
    tried++;
  });
  const test::TinyFolder model(test::TinySizes{.layers = 1});
  model.write(folder);
  const std::string weights = test::safetensors_file(model.tensors);
  truncate_all(weights, [&](const std::string& bytes) {
    folder.write("model.safetensors", bytes);
    try_open(folder.path(), outcome);
    tried++;
  });
  EXPECT_EQ(outcome.refused, tried);
  EXPECT_LE(outcome.peak, kMemoryBound);
}

TEST(Robustness, HugeClaimsTakeNoMemory) {
  Budget budget("a test");
  const auto peak_of = [&](const std::function<void()>& action) {
    test::reset_allocation_peak();
    EXPECT_NE(test::error_message(action), "");
    return test::allocation_peak();
  };
  for (const uint64_t claim : {uint64_t{100'000'000}, uint64_t{1} << 63, UINT64_MAX}) {
    const std::string bytes = test::little_endian(claim) + "{}";
    EXPECT_LT(peak_of([&] { read_safetensors(std::as_bytes(std::span(bytes)), "s", budget); }), 65536u);
    const std::string gguf =
        "GGUF" + test::little_endian(uint32_t{3}) + test::little_endian(claim) + test::little_endian(claim);
    EXPECT_LT(peak_of([&] { GgufFile(std::as_bytes(std::span(gguf)), "g", budget); }), 65536u);
  }
}

}  // namespace
}  // namespace lancet
