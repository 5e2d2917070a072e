// Where matrices live and operations run. A model is written once over these; a backend is one class.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/batch.h"
#include "base/format.h"
#include "checkpoint/checkpoint.h"
#include "kernels/attention.h"

namespace lancet {

/// A row-major f32 activation matrix in the backend's memory; valid until the next begin_step.
struct Matrix {
  float* data = nullptr;
  int rows = 0, cols = 0;
};

struct PanelSlot;

/// What a weight is for: rows are looked up, or it is multiplied; with the input of attention, whose few large columns
/// lose most by rounding; or it is the output head, which is large and may be kept in 8 bits.
enum class WeightUse : uint8_t { lookup, product, attention_input, head };

/// A placed matrix in its stored format; a view that the backend (or the mapped file) owns.
struct Weight {
  Format format = Format::f32;
  int rows = 0, cols = 0;
  const std::byte* data = nullptr;
  const ScaleGrid* scale = nullptr;   // null: none
  int planes = 1;                     // 2: its activations keep what rounding leaves out as a second number
  const PanelSlot* panels = nullptr;  // the backend's; null: products read the stored rows
};

struct Product {
  Matrix out;
  const Weight& weight;
  /// Ascending output rows: only these are needed, and are what they would be among all; the others mean nothing.
  /// Empty: all are.
  std::span<const int32_t> only = {};
};

/// cos and sin by position, frequencies as the model wants them; made once, with the query scale baked into the
/// queries' table. [positions, head_width / 2] each.
struct RopeTable {
  int head_width = 0;
  int positions = 0;
  bool interleaved = false;      // pairs (2i, 2i+1); else (i, i + head_width / 2)
  std::vector<float> frequency;  // [head_width / 2] radians a position
  double magnitude = 1.0;        // on cos and sin
  double query_scale_beta = 0;   // queries only: times 1 + beta * ln(1 + floor(position / original_context))
  int original_context = 0;
};

/// One layer's cache: a key and a value of kv_heads * head_width numbers for each of blocks * kBlockTokens slots.
struct KvLayer {
  int index = 0;
};

/// How weights are packed for fast products.
struct PackingOptions {
  std::optional<Format> quantise;  // what floating-point weights become; nothing: they stay as they are
  std::filesystem::path cache;     // folder where packed weights are kept for the next start; empty: none
  std::string model;               // what the folder calls this model: its path
  uint64_t identity = 0;           // Checkpoint::file_identity(); 0: unknown, nothing is kept
  uint64_t memory = UINT64_MAX;    // bytes that packed weights may take
};

/// How products round their activations, unless they are exact: to 8 bits for quantised weights, to bf16 for others.
/// What that leaves out can be kept as a second number, which doubles the digits and the arithmetic. The head's always
/// is.
enum class Rounding : uint8_t {
  coarse,  // everywhere else it is dropped
  mixed,   // kept for the inputs of attention where weights are quantised: these activations have outliers
  fine     // kept everywhere: next to no error, twice the time for prompts
};

struct BackendOptions {
  int threads = 0;                      // 0: one per usable core
  std::string kernels;                  // table name; empty: best
  bool exact = false;                   // reference arithmetic: f32 activations and f32 cache, no shortcut
  Rounding rounding = Rounding::mixed;  // of activations; ignored when exact
  KvFormat kv = KvFormat::f16;          // ignored (f32) when exact
  PackingOptions packing;
};

/// One thread at a time. Operations never throw; place and allocate_cache may (Error{unsupported}, {io}).
class Backend {
 public:
  virtual ~Backend() = default;

  // Memory.
  /// May keep the bytes where they are; the Checkpoint must outlive it.
  virtual Weight place(const StoredTensor&, WeightUse) = 0;
  virtual void finish_placing() = 0;  // once, after the last place(): the weights can be prepared in the background
  /// Lowers PackingOptions::memory, before the first place().
  virtual void limit_packing(uint64_t bytes) = 0;
  /// Waits until what finish_placing() began is done: measuring begins after it.
  virtual void settle() = 0;
  virtual std::vector<KvLayer> allocate_cache(int layers, int blocks, int kv_heads, int head_width) = 0;
  virtual size_t cache_bytes_per_block(int layers, int kv_heads, int head_width) const = 0;
  virtual void begin_step(const Batch&) = 0;        // frees last step's scratch; the batch must outlive the step
  virtual Matrix scratch(int rows, int cols) = 0;   // uninitialised, valid until the next step
  virtual std::span<const float> read(Matrix) = 0;  // waits; host memory, valid until the next step

  // Operations on all rows of the step's batch.
  virtual void embed(Matrix out, const Weight& table) = 0;  // out[r] = table[tokens[r]]
  virtual void rms_norm(Matrix out, Matrix x, const Weight& gain, float epsilon) = 0;
  virtual void matmul(Matrix x, std::initializer_list<Product>) = 0;  // out[t, o] = sum_i w[o, i] x[t, i]
  virtual void rope(Matrix x, const RopeTable&, bool queries) = 0;    // in place, by each row's position
  virtual void store_kv(KvLayer, Matrix k, Matrix v) = 0;
  virtual void attend(Matrix out, Matrix q, KvLayer) = 0;  // paged, causal, GQA
  virtual void silu_mul(Matrix out, Matrix gate, Matrix up) = 0;
  virtual void add(Matrix x, Matrix y) = 0;                                      // x += y
  virtual void gather(Matrix out, Matrix x, std::span<const int32_t> rows) = 0;  // out[i] = x[rows[i]]
  /// The arithmetic in use, for system_fingerprint and logs: "cpu avx512 mixed kv=f16, 2 threads".
  virtual std::string description() const = 0;
};

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions&);

}  // namespace lancet
