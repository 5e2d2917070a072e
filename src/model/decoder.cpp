#include "model/decoder.h"

#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "model/rope.h"

namespace lancet {
namespace {

struct Layer {
  Weight attention_norm, q, k, v, o;
  Weight ffn_norm, gate, up, down;
};

class Decoder final : public Model {
 public:
  Decoder(const Checkpoint& checkpoint, Backend& backend);

  ModelLimits limits() const override {
    return {
        .vocabulary = config_.vocabulary,
        .context = config_.context,
        .hidden = config_.hidden,
        .cache_bytes_per_block = backend_.cache_bytes_per_block(config_.layers, config_.kv_heads, config_.head_width)};
  }
  void allocate_cache(int blocks) override {
    CHECK(cache_.empty());
    cache_ = backend_.allocate_cache(config_.layers, blocks, config_.kv_heads, config_.head_width);
  }
  std::span<const float> forward(const Batch& batch) override;
  std::span<const float> states() const override { return states_; }

 private:
  int q_width() const { return config_.heads * config_.head_width; }
  int kv_width() const { return config_.kv_heads * config_.head_width; }
  Layer load_layer(const Checkpoint& checkpoint, int number);
  void attention(Matrix x, Matrix h, const Layer& layer, KvLayer cache);
  void feed_forward(Matrix x, Matrix h, const Layer& layer);
  Matrix final_states(Matrix x, std::span<const int32_t> rows);

  // Matrices that every layer overwrites; made once a step.
  struct Work {
    Matrix q, k, v, mixed, gate, up;
  };

  Backend& backend_;
  TextConfig config_;
  float epsilon_;
  RopeTable rope_;
  Weight embedding_, output_norm_, output_;
  std::vector<Layer> layers_;
  std::vector<KvLayer> cache_;
  Work work_;
  std::span<const float> states_;
};

void check_config(const TextConfig& config) {
  const auto fail = [](const std::string& problem) {
    throw Error(Fault::bad_file, "the model's configuration " + problem);
  };
  if (config.layers < 1 || config.hidden < 1 || config.heads < 1 || config.kv_heads < 1 || config.head_width < 1 ||
      config.ffn < 1 || config.vocabulary < 1 || config.context < 1) {
    fail("has a dimension below 1");
  }
  if (config.heads % config.kv_heads != 0) {
    fail(fmt::format("has {} attention heads, wanted a multiple of its {} key-value heads", config.heads,
                     config.kv_heads));
  }
  if (config.head_width % 2 != 0) {
    fail(fmt::format("has heads of width {}, wanted an even width", config.head_width));
  }
}

Decoder::Decoder(const Checkpoint& checkpoint, Backend& backend)
    : backend_(backend), config_(checkpoint.config().text), epsilon_(static_cast<float>(config_.norm_epsilon)) {
  check_config(config_);
  rope_ = make_rope_table(config_.rope, config_.head_width, config_.context);
  embedding_ =
      backend.place(require(checkpoint, "text.embedding", config_.vocabulary, config_.hidden), WeightUse::lookup);
  output_norm_ = backend.place(require(checkpoint, "text.output_norm", 1, config_.hidden), WeightUse::product);
  // No head of its own: the head is the embedding.
  const char* head = checkpoint.find("text.output") ? "text.output" : "text.embedding";
  output_ = backend.place(require(checkpoint, head, config_.vocabulary, config_.hidden), WeightUse::head);
  layers_.reserve(static_cast<size_t>(config_.layers));
  for (int i = 0; i < config_.layers; i++) layers_.push_back(load_layer(checkpoint, i));
  backend.finish_placing();
}

Layer Decoder::load_layer(const Checkpoint& checkpoint, int number) {
  const auto place = [&](const char* name, int rows, int cols, WeightUse use = WeightUse::product) {
    return backend_.place(require(checkpoint, fmt::format("text.{}.{}", number, name), rows, cols), use);
  };
  return {.attention_norm = place("attention_norm", 1, config_.hidden),
          .q = place("attention.q", q_width(), config_.hidden, WeightUse::attention_input),
          .k = place("attention.k", kv_width(), config_.hidden, WeightUse::attention_input),
          .v = place("attention.v", kv_width(), config_.hidden, WeightUse::attention_input),
          .o = place("attention.o", config_.hidden, q_width()),
          .ffn_norm = place("ffn_norm", 1, config_.hidden),
          .gate = place("ffn.gate", config_.ffn, config_.hidden),
          .up = place("ffn.up", config_.ffn, config_.hidden),
          .down = place("ffn.down", config_.hidden, config_.ffn)};
}

std::span<const float> Decoder::forward(const Batch& batch) {
  CHECK(!cache_.empty());
  for (const TokenId token : batch.tokens) {
    if (token < 0 || token >= config_.vocabulary) {
      throw Error(Fault::bad_request,
                  fmt::format("token id {} is outside the model's vocabulary of {}", token, config_.vocabulary));
    }
  }
  backend_.begin_step(batch);
  const int rows = batch.rows();
  const Matrix x = backend_.scratch(rows, config_.hidden), h = backend_.scratch(rows, config_.hidden);
  work_ = {.q = backend_.scratch(rows, q_width()),
           .k = backend_.scratch(rows, kv_width()),
           .v = backend_.scratch(rows, kv_width()),
           .mixed = backend_.scratch(rows, q_width()),
           .gate = backend_.scratch(rows, config_.ffn),
           .up = backend_.scratch(rows, config_.ffn)};
  backend_.embed(x, embedding_);
  for (size_t i = 0; i < layers_.size(); i++) {
    attention(x, h, layers_[i], cache_[i]);
    feed_forward(x, h, layers_[i]);
  }
  states_ = backend_.read(final_states(x, batch.state_rows));
  const Matrix last = final_states(x, batch.logit_rows);
  const Matrix logits = backend_.scratch(last.rows, config_.vocabulary);
  backend_.matmul(last, {{logits, output_, batch.wanted}});
  return backend_.read(logits);
}

/// The given rows of x after the output norm.
Matrix Decoder::final_states(Matrix x, std::span<const int32_t> rows) {
  const Matrix chosen = backend_.scratch(static_cast<int>(rows.size()), config_.hidden);
  const Matrix normed = backend_.scratch(chosen.rows, chosen.cols);
  backend_.gather(chosen, x, rows);
  backend_.rms_norm(normed, chosen, output_norm_, epsilon_);
  return normed;
}

void Decoder::attention(Matrix x, Matrix h, const Layer& layer, KvLayer cache) {
  const auto& [q, k, v, mixed, gate, up] = work_;
  backend_.rms_norm(h, x, layer.attention_norm, epsilon_);
  backend_.matmul(h, {{q, layer.q}, {k, layer.k}, {v, layer.v}});
  backend_.rope(q, rope_, true);
  backend_.rope(k, rope_, false);
  backend_.store_kv(cache, k, v);
  backend_.attend(mixed, q, cache);
  backend_.matmul(mixed, {{h, layer.o}});
  backend_.add(x, h);
}

void Decoder::feed_forward(Matrix x, Matrix h, const Layer& layer) {
  backend_.rms_norm(h, x, layer.ffn_norm, epsilon_);
  backend_.matmul(h, {{work_.gate, layer.gate}, {work_.up, layer.up}});
  backend_.silu_mul(work_.gate, work_.gate, work_.up);
  backend_.matmul(work_.gate, {{h, layer.down}});
  backend_.add(x, h);
}

}  // namespace

std::unique_ptr<Model> load_decoder(const Checkpoint& checkpoint, Backend& backend) {
  return std::make_unique<Decoder>(checkpoint, backend);
}

}  // namespace lancet
