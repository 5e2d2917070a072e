// Drives a model without the engine: prompts in, logits out, with the batching laid open. And a checkpoint made of
// random numbers, for promises that hold for any weights.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <map>
#include <numeric>
#include <optional>

#include "base/random.h"
#include "model/model.h"

namespace lancet::test {

using Logits = std::vector<float>;

/// A random decoder in memory, all in f32.
class RandomCheckpoint final : public Checkpoint {
 public:
  RandomCheckpoint() {
    config_.architecture = "ministral3";
    config_.text = {.layers = 2,
                    .hidden = 64,
                    .heads = 6,
                    .kv_heads = 2,
                    .head_width = 32,
                    .ffn = 96,
                    .vocabulary = 200,
                    .context = 4096,
                    .norm_epsilon = 1e-5,
                    .rope = {}};
    config_.text.rope.query_scale_beta = 0.1;
    config_.text.rope.original_context = 32;
    const TextConfig& text = config_.text;
    const int q_width = text.heads * text.head_width, kv_width = text.kv_heads * text.head_width;
    add("text.embedding", text.vocabulary, text.hidden);
    add("text.output_norm", 1, text.hidden);
    for (int i = 0; i < text.layers; i++) {
      const std::string layer = "text." + std::to_string(i) + ".";
      add(layer + "attention_norm", 1, text.hidden);
      add(layer + "attention.q", q_width, text.hidden);
      add(layer + "attention.k", kv_width, text.hidden);
      add(layer + "attention.v", kv_width, text.hidden);
      add(layer + "attention.o", text.hidden, q_width);
      add(layer + "ffn_norm", 1, text.hidden);
      add(layer + "ffn.gate", text.ffn, text.hidden);
      add(layer + "ffn.up", text.ffn, text.hidden);
      add(layer + "ffn.down", text.hidden, text.ffn);
    }
    std::ranges::sort(tensors_, {}, &StoredTensor::name);
  }

  ModelConfig& mutable_config() { return config_; }
  StoredTensor& tensor(const std::string& name) { return *std::ranges::find(tensors_, name, &StoredTensor::name); }

  const ModelConfig& config() const override { return config_; }
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::string_view chat_template() const override { return {}; }
  std::string_view container() const override { return "random"; }
  std::span<const StoredTensor> tensors() const override { return tensors_; }
  int stored_tensor_count() const override { return static_cast<int>(tensors_.size()); }
  int fp8_tensor_count() const override { return 0; }
  uint64_t file_bytes() const override { return 0; }

 private:
  void add(const std::string& name, int64_t rows, int64_t cols) {
    Random random(tensors_.size() + 1);
    std::vector<float>& values = values_.emplace_back(static_cast<size_t>(rows * cols));
    const double size = rows == 1 || name == "text.embedding" ? 1.0 : 1.5 / std::sqrt(static_cast<double>(cols));
    for (float& value : values) value = static_cast<float>(size * random.normal());
    tensors_.push_back({.name = name,
                        .file_name = name,
                        .file = "random",
                        .format = Format::f32,
                        .rows = rows,
                        .cols = cols,
                        .bytes = std::as_bytes(std::span(values)),
                        .scale = {}});
  }

  ModelConfig config_;
  Vocabulary vocabulary_;
  std::deque<std::vector<float>> values_;
  std::vector<StoredTensor> tensors_;
};

/// One sequence as a scheduler would keep it.
struct Sequence {
  std::vector<TokenId> tokens;
  std::vector<int32_t> blocks;
  int done = 0;  // tokens that are in the cache
};

/// The batch that runs the next `rows` tokens of each sequence, with the logits of every row.
inline Batch next_rows(std::span<Sequence* const> sequences, int rows) {
  Batch batch;
  for (Sequence* sequence : sequences) {
    const int count = std::min(rows, static_cast<int>(sequence->tokens.size()) - sequence->done);
    if (count == 0) continue;
    batch.sequences.push_back({.first_row = batch.rows(),
                               .rows = count,
                               .context = sequence->done + count,
                               .first_block = static_cast<int>(batch.blocks.size())});
    batch.blocks.insert(batch.blocks.end(), sequence->blocks.begin(), sequence->blocks.end());
    for (int i = 0; i < count; i++) {
      const int position = sequence->done++;
      batch.logit_rows.push_back(batch.rows());
      batch.tokens.push_back(sequence->tokens[static_cast<size_t>(position)]);
      batch.positions.push_back(position);
      batch.slots.push_back(sequence->blocks.at(static_cast<size_t>(position / kBlockTokens)) * kBlockTokens +
                            position % kBlockTokens);
    }
  }
  return batch;
}

/// A model, its backend and a cache of 64 blocks.
class Runner {
 public:
  Runner(const Checkpoint& checkpoint, const BackendOptions& options)
      : backend_(make_cpu_backend(options)), model_(load_model(checkpoint, *backend_)) {
    model_->allocate_cache(64);
  }

  int vocabulary() const { return model_->limits().vocabulary; }
  Model& model() { return *model_; }
  Backend& backend() { return *backend_; }

  /// Logits of every position, [tokens, vocabulary]. The blocks default to 0, 1, 2...
  Logits logits(std::vector<TokenId> tokens, int chunk = 4096, std::vector<int32_t> blocks = {}) {
    Sequence sequence{std::move(tokens), blocks.empty() ? first_blocks() : std::move(blocks)};
    Logits result;
    Sequence* const only[] = {&sequence};
    while (sequence.done < static_cast<int>(sequence.tokens.size())) {
      const Batch batch = next_rows(only, chunk);
      const auto step = model_->forward(batch);
      result.insert(result.end(), step.begin(), step.end());
    }
    return result;
  }

  /// The last row only.
  Logits last_logits(std::vector<TokenId> tokens) {
    const Logits all = logits(std::move(tokens));
    return {all.end() - vocabulary(), all.end()};
  }

  /// The most likely continuation; `margins` receives how far the best logit was ahead of the second.
  std::vector<TokenId> greedy(std::vector<TokenId> tokens, size_t count, std::vector<float>* margins = nullptr) {
    Sequence sequence{std::move(tokens), first_blocks()};
    Sequence* const only[] = {&sequence};
    std::vector<TokenId> result;
    while (result.size() < count) {
      const Batch batch = next_rows(only, 4096);
      Logits step;
      const auto all = model_->forward(batch);
      step.assign(all.end() - vocabulary(), all.end());
      const auto best = std::ranges::max_element(step);
      result.push_back(static_cast<TokenId>(best - step.begin()));
      sequence.tokens.push_back(result.back());
      if (margins) {
        const float top = *best;
        *best = -1e30f;
        margins->push_back(top - *std::ranges::max_element(step));
      }
    }
    return result;
  }

 private:
  static std::vector<int32_t> first_blocks() {
    std::vector<int32_t> blocks(64);
    std::iota(blocks.begin(), blocks.end(), 0);
    return blocks;
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Model> model_;
};

inline bool same_bits(const Logits& a, const Logits& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

inline float largest_difference(std::span<const float> a, std::span<const float> b) {
  float worst = a.size() == b.size() ? 0.0f : 1e30f;
  for (size_t i = 0; i < std::min(a.size(), b.size()); i++) worst = std::max(worst, std::abs(a[i] - b[i]));
  return worst;
}

inline std::vector<TokenId> random_tokens(int count, int vocabulary, uint64_t seed = 1) {
  Random random(seed);
  std::vector<TokenId> tokens(static_cast<size_t>(count));
  for (TokenId& token : tokens) token = static_cast<TokenId>(random.below(static_cast<uint64_t>(vocabulary)));
  return tokens;
}

}  // namespace lancet::test
