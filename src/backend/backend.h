// Where matrices live and operations run. A model is written once over these; a backend is one class.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/batch.h"
#include "base/format.h"
#include "checkpoint/checkpoint.h"

namespace lancet {

/// A row-major f32 activation matrix in the backend's memory; valid until the next begin_step.
struct Matrix {
  float* data = nullptr;
  int rows = 0, cols = 0;
};

/// A placed matrix in its stored format; a view that the backend (or the mapped file) owns.
struct Weight {
  Format format = Format::f32;
  int rows = 0, cols = 0;
  const std::byte* data = nullptr;
  const ScaleGrid* scale = nullptr;  // null: none
};

struct Product {
  Matrix out;
  const Weight& weight;
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

/// Precision of cached keys and values.
enum class KvFormat { f32, f16, q8 };  // q8: one f16 scale for each 32 numbers

/// One layer's cache: a key and a value of kv_heads * head_width numbers for each of blocks * kBlockTokens slots.
struct KvLayer {
  int index = 0;
};

struct BackendOptions {
  int threads = 0;              // 0: one per usable core
  std::string kernels;          // table name; empty: best
  bool exact = false;           // reference arithmetic: f32 activations and f32 cache, no shortcut
  KvFormat kv = KvFormat::f16;  // ignored (f32) when exact
};

/// One thread at a time. Operations never throw; place and allocate_cache may (Error{unsupported}, {io}).
class Backend {
 public:
  virtual ~Backend() = default;

  // Memory.
  virtual Weight place(const StoredTensor&) = 0;  // may keep the bytes where they are; the Checkpoint must outlive it
  virtual std::vector<KvLayer> allocate_cache(int layers, int blocks, int kv_heads, int head_width) = 0;
  virtual size_t cache_bytes_per_block(int layers, int kv_width) const = 0;
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
  /// The arithmetic in use, for system_fingerprint and logs: "cpu avx512 int8 kv=f16, 2 threads".
  virtual std::string description() const = 0;
};

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions&);

}  // namespace lancet
