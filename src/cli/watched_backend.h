// A backend that lets another one do the work and looks at the residual stream: what every half of a layer adds to it.
// It can also put a reference's stream in place of its own after each half, so that a difference is seen where it
// arises and not in all that follows. For backends whose matrices lie in host memory.
#pragma once

#include <vector>

#include "backend/backend.h"

namespace lancet {

/// One addition to the residual stream: layer i's attention is number 2 i, its feed-forward 2 i + 1.
struct StreamStep {
  std::vector<float> added, stream;  // [rows, hidden]; the stream after it
};

/// Shares of negative numbers among the inputs of one gated unit: of the gate and of what it gates.
struct GateSigns {
  double gate = 0, up = 0;
};

class WatchedBackend final : public Backend {
 public:
  /// `reference`: the steps of another run over the same rows; null: none is put in place.
  explicit WatchedBackend(Backend& worker, const std::vector<StreamStep>* reference = nullptr)
      : worker_(worker), reference_(reference) {}
  /// Of the last step.
  const std::vector<StreamStep>& steps() const { return steps_; }

  /// By layer, of the last step.
  const std::vector<GateSigns>& gates() const { return gates_; }

  Weight place(const StoredTensor& tensor, WeightUse use) override { return worker_.place(tensor, use); }
  void finish_placing() override { worker_.finish_placing(); }
  void limit_packing(uint64_t bytes) override { worker_.limit_packing(bytes); }
  void settle() override { worker_.settle(); }
  std::vector<KvLayer> allocate_cache(int layers, int blocks, int kv_heads, int head_width) override {
    return worker_.allocate_cache(layers, blocks, kv_heads, head_width);
  }
  size_t cache_bytes_per_block(int layers, int kv_heads, int head_width) const override {
    return worker_.cache_bytes_per_block(layers, kv_heads, head_width);
  }
  void begin_step(const Batch& batch) override {
    steps_.clear();
    gates_.clear();
    worker_.begin_step(batch);
  }
  Matrix scratch(int rows, int cols) override { return worker_.scratch(rows, cols); }
  std::span<const float> read(Matrix matrix) override { return worker_.read(matrix); }
  void embed(Matrix out, const Weight& table) override { worker_.embed(out, table); }
  void rms_norm(Matrix out, Matrix x, const Weight& gain, float epsilon) override {
    worker_.rms_norm(out, x, gain, epsilon);
  }
  void matmul(Matrix x, std::initializer_list<Product> products) override { worker_.matmul(x, products); }
  void rope(Matrix x, const RopeTable& table, bool queries) override { worker_.rope(x, table, queries); }
  void store_kv(KvLayer layer, Matrix k, Matrix v) override { worker_.store_kv(layer, k, v); }
  void attend(Matrix out, Matrix q, KvLayer layer) override { worker_.attend(out, q, layer); }
  void silu_mul(Matrix out, Matrix gate, Matrix up) override;
  void add(Matrix x, Matrix y) override;
  void gather(Matrix out, Matrix x, std::span<const int32_t> rows) override { worker_.gather(out, x, rows); }
  std::string description() const override { return worker_.description(); }

 private:
  Backend& worker_;
  const std::vector<StreamStep>* reference_;
  std::vector<StreamStep> steps_;
  std::vector<GateSigns> gates_;
};

}  // namespace lancet
