// A backend that lets another one do everything; one that looks at some operations overrides these.
#pragma once

#include "backend/backend.h"

namespace lancet {

/// `inner` must outlive it.
class ForwardingBackend : public Backend {
 public:
  explicit ForwardingBackend(Backend& inner) : inner_(inner) {}

  Weight place(const StoredTensor& tensor, WeightUse use) override { return inner_.place(tensor, use); }
  void finish_placing() override { inner_.finish_placing(); }
  void limit_packing(uint64_t bytes) override { inner_.limit_packing(bytes); }
  void settle() override { inner_.settle(); }
  std::vector<KvLayer> allocate_cache(int layers, int blocks, int kv_heads, int head_width) override {
    return inner_.allocate_cache(layers, blocks, kv_heads, head_width);
  }
  size_t cache_bytes_per_block(int layers, int kv_heads, int head_width) const override {
    return inner_.cache_bytes_per_block(layers, kv_heads, head_width);
  }
  void begin_step(const Batch& batch) override { inner_.begin_step(batch); }
  Matrix scratch(int rows, int cols) override { return inner_.scratch(rows, cols); }
  std::span<const float> read(Matrix matrix) override { return inner_.read(matrix); }
  void embed(Matrix out, const Weight& table) override { inner_.embed(out, table); }
  void rms_norm(Matrix out, Matrix x, const Weight& gain, float epsilon) override {
    inner_.rms_norm(out, x, gain, epsilon);
  }
  void matmul(Matrix x, std::initializer_list<Product> products) override { inner_.matmul(x, products); }
  void rope(Matrix x, const RopeTable& table, bool queries) override { inner_.rope(x, table, queries); }
  void store_kv(KvLayer layer, Matrix k, Matrix v) override { inner_.store_kv(layer, k, v); }
  void attend(Matrix out, Matrix q, KvLayer layer) override { inner_.attend(out, q, layer); }
  void silu_mul(Matrix out, Matrix gate, Matrix up) override { inner_.silu_mul(out, gate, up); }
  void add(Matrix x, Matrix y) override { inner_.add(x, y); }
  void gather(Matrix out, Matrix x, std::span<const int32_t> rows) override { inner_.gather(out, x, rows); }
  std::string description() const override { return inner_.description(); }

 protected:
  Backend& inner_;
};

}  // namespace lancet
