// A loaded model with its cache memory: one step in, logits out.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "backend/backend.h"
#include "backend/batch.h"
#include "checkpoint/checkpoint.h"

namespace lancet {

struct ModelLimits {
  int vocabulary = 0;
  int context = 0;                   // longest sequence the model was made for
  int hidden = 0;                    // width of a state
  size_t cache_bytes_per_block = 0;  // of kBlockTokens tokens, all layers
};

/// One thread at a time.
class Model {
 public:
  virtual ~Model() = default;
  virtual ModelLimits limits() const = 0;
  virtual void allocate_cache(int blocks) = 0;  // once, before the first forward
  /// Logits of batch.logit_rows, [logit_rows, vocabulary] row-major; valid until the next call. If batch.wanted names
  /// tokens, only their columns mean anything; these are the same as without.
  virtual std::span<const float> forward(const Batch&) = 0;
  /// Final states of the last forward's batch.state_rows, after the output norm: [state_rows, hidden] row-major; valid
  /// until the next forward.
  virtual std::span<const float> states() const = 0;
};

/// Builds the model that the checkpoint's architecture names. Both must outlive it.
/// Throws Error{unsupported} (lists the architectures there are), {bad_file} (tensor missing or of another shape).
std::unique_ptr<Model> load_model(const Checkpoint&, Backend&);

/// Names of the architectures there are, for messages and docs.
std::string supported_architectures();

}  // namespace lancet
