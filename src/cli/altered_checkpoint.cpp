#include "cli/altered_checkpoint.h"

#include <utility>

#include "checkpoint/stored_rows.h"

namespace lancet {

StoredTensor* AlteredCheckpoint::find_to_change(const std::string& name) {
  const StoredTensor* found = find(name);
  return found ? &tensors_[static_cast<size_t>(found - tensors_.data())] : nullptr;
}

bool AlteredCheckpoint::exchange(const std::string& a, const std::string& b) {
  StoredTensor *first = find_to_change(a), *second = find_to_change(b);
  if (!first || !second || first->rows != second->rows || first->cols != second->cols) return false;
  std::swap(*first, *second);
  std::swap(first->name, second->name);
  return true;
}

bool AlteredCheckpoint::transpose(const std::string& name) {
  StoredTensor* tensor = find_to_change(name);
  if (!tensor || tensor->rows != tensor->cols) return false;
  const auto size = static_cast<size_t>(tensor->rows);
  std::vector<float>& turned = values_.emplace_back(size * size);
  std::vector<float> row(size);
  for (size_t i = 0; i < size; i++) {
    decode_row(*tensor, static_cast<int64_t>(i), row);
    for (size_t j = 0; j < size; j++) turned[j * size + i] = row[j];
  }
  tensor->format = Format::f32;
  tensor->bytes = std::as_bytes(std::span(turned));
  tensor->scale = {};
  tensor->mapping = nullptr;
  return true;
}

bool AlteredCheckpoint::invert_scale(const std::string& name) {
  StoredTensor* tensor = find_to_change(name);
  if (!tensor || tensor->scale.values.empty()) return false;
  for (float& value : tensor->scale.values) value = 1 / value;
  return true;
}

}  // namespace lancet
