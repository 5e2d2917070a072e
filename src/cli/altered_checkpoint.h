// A checkpoint with changes: what would the model say if its files were other than they are? The original must outlive
// it.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace lancet {

class AlteredCheckpoint final : public Checkpoint {
 public:
  explicit AlteredCheckpoint(const Checkpoint& original)
      : original_(original),
        config_(original.config()),
        tensors_(original.tensors().begin(), original.tensors().end()) {}

  ModelConfig& config_to_change() { return config_; }
  /// These return false, and change nothing, where the tensors are not there or the shapes do not allow it.
  bool exchange(const std::string& a, const std::string& b);
  bool transpose(const std::string& name);
  bool invert_scale(const std::string& name);

  const ModelConfig& config() const override { return config_; }
  const Vocabulary& vocabulary() const override { return original_.vocabulary(); }
  std::string_view chat_template() const override { return original_.chat_template(); }
  std::string_view container() const override { return original_.container(); }
  std::span<const StoredTensor> tensors() const override { return tensors_; }
  int stored_tensor_count() const override { return original_.stored_tensor_count(); }
  int fp8_tensor_count() const override { return original_.fp8_tensor_count(); }
  uint64_t file_bytes() const override { return original_.file_bytes(); }

 private:
  StoredTensor* find_to_change(const std::string& name);

  const Checkpoint& original_;
  ModelConfig config_;
  std::vector<StoredTensor> tensors_;
  std::deque<std::vector<float>> values_;  // of transposed matrices
};

}  // namespace lancet
