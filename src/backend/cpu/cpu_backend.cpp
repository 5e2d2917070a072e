// The backend that every machine has. Weights stay where the file was mapped, and products get them packed beside that
// (panel_store.h); only norm gains are turned to f32. What is hot lives in kernels/; this folder decides who computes
// what, and keeps every result independent of batch, chunk and thread count.
#include <algorithm>
#include <deque>
#include <limits>
#include <vector>

#include <fmt/format.h>

#include "backend/backend.h"
#include "backend/cpu/attention.h"
#include "backend/cpu/cpu_core.h"
#include "backend/cpu/kv_cache.h"
#include "backend/cpu/panel_store.h"
#include "backend/cpu/product.h"
#include "backend/cpu/rotation.h"
#include "base/check.h"
#include "base/error.h"
#include "base/sizes.h"

namespace lancet {
namespace {

void check_stored(const StoredTensor& tensor) {
  const FormatInfo& format = format_info(tensor.format);
  const auto fail = [&tensor](const std::string& problem) {
    throw Error(Fault::bad_file, fmt::format("{}: tensor {} {}", tensor.file, lancet::quoted(tensor.name), problem));
  };
  constexpr int64_t kMost = std::numeric_limits<int>::max();
  if (tensor.rows < 1 || tensor.cols < 1 || tensor.rows > kMost || tensor.cols > kMost) {
    fail(fmt::format("is {}x{}, wanted 1 to {} each way", tensor.rows, tensor.cols, kMost));
  }
  if (tensor.cols % format.block_values != 0) {
    fail(fmt::format("has rows of {} values, wanted a multiple of {} for {}", tensor.cols, format.block_values,
                     format.name));
  }
  const auto bytes = checked_multiply(static_cast<uint64_t>(tensor.rows),
                                      static_cast<uint64_t>(row_bytes(tensor.format, tensor.cols)));
  if (bytes != tensor.bytes.size()) {
    fail(fmt::format("has {} bytes, wanted {}", tensor.bytes.size(), bytes.value_or(0)));
  }
  const ScaleGrid& scale = tensor.scale;
  if (scale.values.empty()) return;
  if (scale.row_block < 1 || scale.col_block < 1) fail("has a scale grid of empty blocks");
  const uint64_t wanted = divide_up(static_cast<uint64_t>(tensor.rows), static_cast<uint64_t>(scale.row_block)) *
                          divide_up(static_cast<uint64_t>(tensor.cols), static_cast<uint64_t>(scale.col_block));
  if (scale.values.size() != wanted) fail(fmt::format("has {} scales, wanted {}", scale.values.size(), wanted));
}

/// What memory safety rests on: every block and position that attention will follow.
void check_batch(const Batch& batch, int64_t cache_slots) {
  CHECK(batch.positions.size() == batch.tokens.size() && batch.slots.size() == batch.tokens.size());
  for (const SequenceRows& sequence : batch.sequences) {
    CHECK(sequence.first_row >= 0 && sequence.rows >= 1 && sequence.rows <= batch.rows() - sequence.first_row);
    const int64_t blocks = (int64_t{sequence.context} + kBlockTokens - 1) / kBlockTokens;
    CHECK(sequence.first_block >= 0 && sequence.first_block + blocks <= static_cast<int64_t>(batch.blocks.size()));
    for (int row = sequence.first_row; row < sequence.first_row + sequence.rows; row++) {
      const int position = batch.positions[static_cast<size_t>(row)];
      CHECK(position >= 0 && position < sequence.context);
      CHECK(row == sequence.first_row || position > batch.positions[static_cast<size_t>(row) - 1]);
    }
  }
  for (const int32_t block : batch.blocks) CHECK(block >= 0 && block < cache_slots / kBlockTokens);
}

std::string_view kv_name(KvFormat format) {
  switch (format) {
    case KvFormat::f16: return "f16";
    case KvFormat::q8: return "q8";
    default: return "f32";
  }
}

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const BackendOptions& options)
      : core_{.kernels = select_kernels(options.kernels),
              .pool = ThreadPool(options.threads),
              .arena = {},
              .exact = options.exact},
        rounding_(options.rounding),
        kv_(options.exact ? KvFormat::f32 : options.kv),
        panels_(core_.kernels, options.exact, options.packing) {}

  Weight place(const StoredTensor& tensor, WeightUse use) override {
    check_stored(tensor);
    Weight weight{.format = tensor.format,
                  .rows = static_cast<int>(tensor.rows),
                  .cols = static_cast<int>(tensor.cols),
                  .data = tensor.bytes.data(),
                  .scale = tensor.scale.values.empty() ? nullptr : &tensor.scale};
    if (weight.rows > 1) {
      weight.panels = panels_.add(tensor, weight, use);
      if (weight.panels) weight.planes = planes(weight.panels->format, use);
      return weight;
    }
    std::vector<float>& gain = gains_.emplace_back(static_cast<size_t>(weight.cols));
    decode_row(weight, 0, gain.data());
    return {.format = Format::f32,
            .rows = 1,
            .cols = weight.cols,
            .data = reinterpret_cast<const std::byte*>(gain.data()),
            .scale = nullptr};
  }

  void finish_placing() override { panels_.prepare(core_.pool); }
  void limit_packing(uint64_t bytes) override { panels_.limit(bytes); }
  void settle() override { panels_.settle(); }

  std::vector<KvLayer> allocate_cache(int layers, int blocks, int kv_heads, int head_width) override {
    CHECK(layers >= 1 && blocks >= 0 && kv_heads >= 1 && head_width >= 1);
    cache_ = KvCache(kv_, layers, blocks, kv_heads, head_width);
    std::vector<KvLayer> result(static_cast<size_t>(layers));
    for (int i = 0; i < layers; i++) result[static_cast<size_t>(i)].index = i;
    return result;
  }

  size_t cache_bytes_per_block(int layers, int kv_heads, int head_width) const override {
    return KvCache::block_bytes(kv_, layers, kv_heads, head_width);
  }

  void begin_step(const Batch& batch) override {
    check_batch(batch, cache_.slots());
    batch_ = &batch;
    rotation_.reset();
    core_.arena.reset();
  }

  Matrix scratch(int rows, int cols) override {
    return {core_.arena.array<float>(static_cast<size_t>(rows) * static_cast<size_t>(cols)), rows, cols};
  }

  std::span<const float> read(Matrix x) override {
    return {x.data, static_cast<size_t>(x.rows) * static_cast<size_t>(x.cols)};
  }

  void embed(Matrix out, const Weight& table) override {
    CHECK(out.rows == batch_->rows() && out.cols == table.cols);
    for_each_row(core_.pool, out.rows, out.cols, [&](int64_t row) {
      const TokenId token = batch_->tokens[static_cast<size_t>(row)];
      CHECK(token >= 0 && token < table.rows);
      decode_row(table, token, out.data + row * out.cols);
    });
  }

  void rms_norm(Matrix out, Matrix x, const Weight& gain, float epsilon) override {
    CHECK(out.rows == x.rows && out.cols == x.cols && gain.cols == x.cols && gain.format == Format::f32);
    const auto* gains = reinterpret_cast<const float*>(gain.data);
    for_each_row(core_.pool, x.rows, x.cols, [&](int64_t row) {
      core_.kernels.rms_norm(x.data + row * x.cols, gains, epsilon, out.data + row * x.cols, x.cols);
    });
  }

  void matmul(Matrix x, std::initializer_list<Product> products) override {
    multiply(core_, x, {products.begin(), products.size()});
  }

  void rope(Matrix x, const RopeTable& table, bool queries) override {
    rotation_.apply(core_, *batch_, x, table, queries);
  }

  void store_kv(KvLayer layer, Matrix k, Matrix v) override {
    CHECK(k.rows == batch_->rows() && v.rows == k.rows && k.cols == cache_.width() && v.cols == k.cols);
    for_each_row(core_.pool, k.rows, int64_t{k.cols} * 2, [&](int64_t row) {
      const int64_t slot = batch_->slots[static_cast<size_t>(row)];
      CHECK(slot >= 0 && slot < cache_.slots());
      cache_.store(core_.kernels, layer.index, slot, k.data + row * k.cols, v.data + row * v.cols);
    });
  }

  void attend(Matrix out, Matrix q, KvLayer layer) override {
    attend_paged(core_, {.batch = *batch_, .cache = cache_, .layer = layer.index, .q = q, .out = out});
  }

  void silu_mul(Matrix out, Matrix gate, Matrix up) override {
    CHECK(out.rows == gate.rows && out.cols == gate.cols && up.rows == gate.rows && up.cols == gate.cols);
    for_each_row(core_.pool, gate.rows, gate.cols, [&](int64_t row) {
      const int64_t at = row * gate.cols;
      core_.kernels.silu_mul(gate.data + at, up.data + at, out.data + at, gate.cols);
    });
  }

  void add(Matrix x, Matrix y) override {
    CHECK(x.rows == y.rows && x.cols == y.cols);
    for_each_row(core_.pool, x.rows, x.cols, [&](int64_t row) {
      core_.kernels.axpy_f32(1.0f, y.data + row * x.cols, x.data + row * x.cols, x.cols);
    });
  }

  void gather(Matrix out, Matrix x, std::span<const int32_t> rows) override {
    CHECK(static_cast<size_t>(out.rows) == rows.size() && out.cols == x.cols);
    for (int i = 0; i < out.rows; i++) {
      const int32_t row = rows[static_cast<size_t>(i)];
      CHECK(row >= 0 && row < x.rows);
      std::copy_n(x.data + int64_t{row} * x.cols, x.cols, out.data + int64_t{i} * x.cols);
    }
  }

  std::string description() const override {
    const int threads = core_.pool.threads();
    return fmt::format("cpu {} {}{} kv={}, {} thread{}", core_.kernels.name, core_.exact ? "exact" : name(rounding_),
                       panels_.quantised(), kv_name(kv_), threads, threads == 1 ? "" : "s");
  }

 private:
  static std::string_view name(Rounding rounding) {
    return rounding == Rounding::coarse ? "coarse" : rounding == Rounding::mixed ? "mixed" : "fine";
  }

  /// Of the activations of a weight with panels.
  int planes(Format panels, WeightUse use) const {
    const Arithmetic arithmetic = core_.kernels.panel[static_cast<int>(panels)].arithmetic;
    if (arithmetic == Arithmetic::f32) return 1;
    const bool outliers = use == WeightUse::attention_input && arithmetic == Arithmetic::int8;
    const bool two =
        use == WeightUse::head || rounding_ == Rounding::fine || (rounding_ == Rounding::mixed && outliers);
    return two ? 2 : 1;
  }

  CpuCore core_;
  Rounding rounding_;
  KvFormat kv_;
  std::deque<std::vector<float>> gains_;  // decoded once; a deque, for their addresses must stay
  KvCache cache_;
  Rotation rotation_;
  const Batch* batch_ = nullptr;
  PanelStore panels_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options) {
  return std::make_unique<CpuBackend>(options);
}

}  // namespace lancet
