// The decoder against transformers: every container and dtype of the tiny checkpoints, and SmolLM2.
#include <cmath>
#include <cstdlib>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mapped_file.h"
#include "model/runner.h"
#include "support/paths.h"

namespace lancet::test {
namespace {

const BackendOptions kExact{.threads = 2, .kernels = "", .exact = true};
const BackendOptions kFast{.threads = 2, .kernels = "", .exact = false};

boost::json::value read_json(const std::filesystem::path& path) {
  Budget budget(path.string());
  return parse_json(read_text_file(path, 1 << 24), path.string(), {.nodes = 10'000'000}, budget);
}

std::vector<TokenId> ids(const boost::json::value& array) {
  std::vector<TokenId> out;
  for (const auto& id : array.as_array()) out.push_back(id.to_number<TokenId>());
  return out;
}

/// tests/data/reference: what transformers computed.
class Reference {
 public:
  Reference() : facts_(read_json(data_path("reference/tiny.json"))), numbers_(data_path("reference/tiny.f32")) {}

  std::vector<TokenId> prompt(const std::string& name) const { return ids(facts_.at("prompts").at(name)); }
  std::vector<TokenId> greedy(const std::string& name) const { return ids(facts_.at("greedy").at(name)); }
  Logits logits(const std::string& name) const {
    for (const auto& array : facts_.at("arrays").as_array()) {
      if (array.at("name").as_string() != name) continue;
      const auto count = array.at("rows").to_number<size_t>() * array.at("cols").to_number<size_t>();
      Logits out(count);
      std::memcpy(out.data(), numbers_.bytes().data() + array.at("offset").to_number<size_t>() * sizeof(float),
                  count * sizeof(float));
      return out;
    }
    ADD_FAILURE() << name << " is not in the reference";
    return {};
  }

 private:
  boost::json::value facts_;
  MappedFile numbers_;
};

/// The project's own tiny checkpoint of that name if it is there, else the oracles' one.
std::optional<std::filesystem::path> tiny(const std::string& name) {
  if (std::filesystem::exists(data_path("tiny") / name)) return data_path("tiny") / name;
  const auto oracles = oracle_folder();
  if (!oracles || !std::filesystem::exists(*oracles / "tiny" / name)) return std::nullopt;
  return *oracles / "tiny" / name;
}

/// Largest difference in a row, in units of the standard deviation of the reference's row.
double row_error(std::span<const float> row, std::span<const float> reference) {
  double mean = 0, variance = 0;
  for (const float value : reference) mean += value;
  mean /= static_cast<double>(reference.size());
  for (const float value : reference) variance += (value - mean) * (value - mean);
  return largest_difference(row, reference) / std::sqrt(variance / static_cast<double>(reference.size()));
}

class TinyCheckpoint : public testing::TestWithParam<const char*> {};

TEST_P(TinyCheckpoint, ComputesWhatTransformersComputes) {
  const auto path = tiny(GetParam());
  if (!path) GTEST_SKIP() << "DID NOT RUN: no tiny checkpoint " << GetParam();
  const auto checkpoint = open_checkpoint(*path);
  const Reference reference;
  Runner runner(*checkpoint, kExact);
  for (const std::string prompt : {"p20", "p150"}) {
    const std::string name = std::string(GetParam()) + "/" + prompt;
    EXPECT_LT(row_error(runner.last_logits(reference.prompt(prompt)), reference.logits(name + "/last")), 1e-3) << name;
    EXPECT_EQ(runner.greedy(reference.prompt(prompt), 32), reference.greedy(name)) << name;
  }
}

TEST_P(TinyCheckpoint, StaysCloseToTransformersWithInt8Activations) {
  const auto path = tiny(GetParam());
  if (!path) GTEST_SKIP() << "DID NOT RUN: no tiny checkpoint " << GetParam();
  const auto checkpoint = open_checkpoint(*path);
  const Reference reference;
  Runner runner(*checkpoint, kFast);
  for (const std::string prompt : {"p20", "p150"}) {
    const auto wanted = reference.logits(std::string(GetParam()) + "/" + prompt + "/last");
    // The oracle's bound for 8-bit activations: 8 % of the largest logit.
    EXPECT_LT(largest_difference(runner.last_logits(reference.prompt(prompt)), wanted),
              0.08f * std::abs(*std::ranges::max_element(wanted, {}, [](float x) { return std::abs(x); })));
  }
}

INSTANTIATE_TEST_SUITE_P(Containers, TinyCheckpoint,
                         testing::Values("fp8", "fp8-sharded", "fp8-prefix", "fp8-textonly", "fp8-p2", "bf16",
                                         "fp8-untied", "native", "gguf/tiny-F32.gguf", "gguf/tiny-BF16.gguf",
                                         "gguf/tiny-Q8_0.gguf"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::ranges::replace_if(
                               name, [](char c) { return !std::isalnum(c); }, '_');
                           return name;
                         });

TEST(TinyFp8, EveryPositionIsThatOfTransformers) {
  const auto path = tiny("fp8");
  if (!path) GTEST_SKIP() << "DID NOT RUN: no tiny checkpoint";
  const auto checkpoint = open_checkpoint(*path);
  const Reference reference;
  Runner runner(*checkpoint, kExact);
  for (const std::string prompt : {"one", "p20"}) {
    const Logits ours = runner.logits(reference.prompt(prompt)), theirs = reference.logits("fp8/" + prompt + "/logits");
    ASSERT_EQ(ours.size(), theirs.size());
    const auto width = static_cast<size_t>(runner.vocabulary());
    for (size_t at = 0; at < ours.size(); at += width) {
      EXPECT_LT(row_error(std::span(ours).subspan(at, width), std::span(theirs).subspan(at, width)), 1e-3)
          << prompt << ", row " << at / width;
    }
  }
}

TEST(TinyFp8, PowerOfTwoScalesGiveTheBitsOfTheSameWeightsInBf16) {
  const auto fp8 = tiny("fp8-p2"), bf16 = tiny("bf16");
  if (!fp8 || !bf16) GTEST_SKIP() << "DID NOT RUN: no tiny checkpoints";
  const auto one = open_checkpoint(*fp8), two = open_checkpoint(*bf16);
  const auto prompt = Reference().prompt("p150");
  EXPECT_TRUE(same_bits(Runner(*one, kExact).logits(prompt), Runner(*two, kExact).logits(prompt)));
}

TEST(TinyFp8, EveryContainerGivesTheBitsOfTheFirst) {
  const auto first = tiny("fp8");
  if (!first) GTEST_SKIP() << "DID NOT RUN: no tiny checkpoints";
  const auto prompt = Reference().prompt("p150");
  const auto checkpoint = open_checkpoint(*first);
  for (const BackendOptions& options : {kExact, kFast}) {
    const Logits wanted = Runner(*checkpoint, options).logits(prompt);
    for (const char* name : {"fp8-sharded", "fp8-prefix", "fp8-textonly", "fp8-floatints"}) {
      const auto path = tiny(name);
      if (!path) continue;
      const auto other = open_checkpoint(*path);
      EXPECT_TRUE(same_bits(Runner(*other, options).logits(prompt), wanted)) << name;
    }
  }
}

/// A copy of a checkpoint folder whose activation scales are all 3.
std::filesystem::path with_other_activation_scales(const std::filesystem::path& folder) {
  const auto copy = std::filesystem::temp_directory_path() / fmt::format("lancet-activation-{}", getpid());
  std::filesystem::remove_all(copy);
  std::filesystem::copy(folder, copy);
  std::filesystem::permissions(copy / "model.safetensors", std::filesystem::perms::owner_write,
                               std::filesystem::perm_options::add);
  std::string bytes = read_text_file(copy / "model.safetensors", 1 << 24);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  Budget budget("header");
  const auto header = parse_json(std::string_view(bytes).substr(8, header_bytes), "header", {}, budget);
  int changed = 0;
  for (const auto& [name, tensor] : header.as_object()) {
    if (!std::string_view(name).ends_with(".activation_scale")) continue;
    const auto offset = tensor.at("data_offsets").at(0).to_number<size_t>();
    const uint16_t three = bf16_from_f32(3.0f);
    std::memcpy(bytes.data() + 8 + header_bytes + offset, &three, sizeof three);
    changed++;
  }
  EXPECT_GT(changed, 0);
  std::ofstream(copy / "model.safetensors", std::ios::binary) << bytes;
  return copy;
}

TEST(TinyFp8, ActivationScaleChangesNothing) {
  const auto path = tiny("fp8");
  if (!path) GTEST_SKIP() << "DID NOT RUN: no tiny checkpoint";
  const auto copy = with_other_activation_scales(*path);
  {
    const auto original = open_checkpoint(*path), changed = open_checkpoint(copy);
    const auto prompt = Reference().prompt("p20");
    EXPECT_TRUE(same_bits(Runner(*original, kExact).logits(prompt), Runner(*changed, kExact).logits(prompt)));
  }
  std::filesystem::remove_all(copy);
}

/// A checkpoint with its configuration changed.
class Altered final : public Checkpoint {
 public:
  explicit Altered(const Checkpoint& original) : config_(original.config()), original_(original) {}
  RopeConfig& rope() { return config_.text.rope; }

  const ModelConfig& config() const override { return config_; }
  const Vocabulary& vocabulary() const override { return original_.vocabulary(); }
  std::string_view chat_template() const override { return original_.chat_template(); }
  std::string_view container() const override { return original_.container(); }
  std::span<const StoredTensor> tensors() const override { return original_.tensors(); }
  int stored_tensor_count() const override { return original_.stored_tensor_count(); }
  int fp8_tensor_count() const override { return original_.fp8_tensor_count(); }
  uint64_t file_bytes() const override { return original_.file_bytes(); }

 private:
  ModelConfig config_;
  const Checkpoint& original_;
};

TEST(TinyFp8, YarnQueryScaleMagnitudeAndPairingAllMatter) {
  const auto path = tiny("fp8");
  if (!path) GTEST_SKIP() << "DID NOT RUN: no tiny checkpoint";
  const auto checkpoint = open_checkpoint(*path);
  const auto prompt = Reference().prompt("p150");
  const Logits right = Runner(*checkpoint, kExact).last_logits(prompt);
  const auto moved = [&](auto&& change) {
    Altered altered(*checkpoint);
    change(altered.rope());
    return largest_difference(Runner(altered, kExact).last_logits(prompt), right);
  };
  EXPECT_GT(moved([](RopeConfig& rope) { rope.kind = RopeConfig::Kind::plain; }), 5.0f);
  EXPECT_GT(moved([](RopeConfig& rope) { rope.query_scale_beta = 0; }), 1.0f);
  EXPECT_GT(moved([](RopeConfig& rope) { rope.magnitude = 0.1 * std::log(16.0) + 1; }), 1.0f);
  EXPECT_GT(moved([](RopeConfig& rope) { rope.interleaved = !rope.interleaved; }), 5.0f);
}

// $LANCET_SMOLLM2_GGUF names SmolLM2-135M-Instruct as GGUF, $LANCET_SMOLLM2_FP8 the same weights in Ministral 3's
// layout (the oracles' smol_to_ministral.py writes them).
struct SmolCase {
  const char* variable;
  const char* key;  // in expected.json
};

class SmolLm2 : public testing::TestWithParam<SmolCase> {
 protected:
  void SetUp() override {
    const auto oracles = oracle_folder();
    const char* path = std::getenv(GetParam().variable);
    if (!oracles || !path) GTEST_SKIP() << "DID NOT RUN: LANCET_ORACLES or " << GetParam().variable << " is not set";
    expected_ = read_json(*oracles / "smol" / "expected.json");
    checkpoint_ = open_checkpoint(path);
  }

  /// The reference's continuations, token by token given what came before, wherever it decided by `margin` or more.
  void expect_greedy(const BackendOptions& options, float margin) {
    Runner runner(*checkpoint_, options);
    const auto width = static_cast<size_t>(runner.vocabulary());
    int compared = 0;
    for (const auto& one : expected_.at("cases").as_array()) {
      auto tokens = ids(one.at("ids"));
      const size_t prompt = tokens.size();
      const auto wanted = ids(one.at(GetParam().key).at("greedy"));
      const auto& margins = one.at(GetParam().key).at("margins").as_array();
      tokens.insert(tokens.end(), wanted.begin(), wanted.end() - 1);
      const Logits logits = runner.logits(tokens);
      for (size_t step = 0; step < wanted.size(); step++) {
        if (margins[step].to_number<float>() < margin) continue;
        const auto row = std::span(logits).subspan((prompt + step - 1) * width, width);
        EXPECT_EQ(std::ranges::max_element(row) - row.begin(), wanted[step]) << "step " << step;
        compared++;
      }
    }
    EXPECT_GT(compared, 50);
  }

  boost::json::value expected_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

TEST_P(SmolLm2, ExactArithmeticGivesTheReferencesTokens) { expect_greedy(kExact, 1e-3f); }
TEST_P(SmolLm2, Int8ActivationsGiveTheReferencesTokensWhereTheyAreClear) { expect_greedy(kFast, 1.0f); }

TEST_P(SmolLm2, ExactArithmeticGivesTheReferencesLogits) {
  Runner runner(*checkpoint_, kExact);
  for (const auto& one : expected_.at("cases").as_array()) {
    const Logits last = runner.last_logits(ids(one.at("ids")));
    for (const auto& pair : one.at(GetParam().key).at("logits_after_prompt").at("top20").as_array()) {
      const auto wanted = pair.at(1).to_number<double>();
      EXPECT_NEAR(last[pair.at(0).to_number<size_t>()], wanted, 1e-4 * std::abs(wanted));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, SmolLm2,
                         testing::Values(SmolCase{"LANCET_SMOLLM2_GGUF", "gguf"},
                                         SmolCase{"LANCET_SMOLLM2_FP8", "fp8"}),
                         [](const auto& info) { return std::string(info.param.key); });

}  // namespace
}  // namespace lancet::test
