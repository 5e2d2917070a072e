#include "cli/activation_recorder.h"

#include "base/check.h"

namespace lancet {

Weight ActivationRecorder::place(const StoredTensor& tensor, WeightUse use) {
  Weight weight = inner_->place(tensor, use);
  if (tensor.rows > 1) {
    Columns& columns = matrices_[weight.data];
    columns.name = tensor.name;
    columns.squares.resize(static_cast<size_t>(tensor.cols));
  }
  return weight;
}

void ActivationRecorder::matmul(Matrix x, std::initializer_list<Product> products) {
  const std::span<const float> values = inner_->read(x);
  std::vector<double> sums(static_cast<size_t>(x.cols));
  for (size_t at = 0; at < values.size(); at += sums.size())
    for (size_t col = 0; col < sums.size(); col++) sums[col] += double{values[at + col]} * values[at + col];
  for (const Product& product : products) {
    const auto found = matrices_.find(product.weight.data);
    CHECK(found != matrices_.end());
    found->second.rows += x.rows;
    for (size_t col = 0; col < sums.size(); col++) found->second.squares[col] += sums[col];
  }
  inner_->matmul(x, products);
}

Importance ActivationRecorder::importance() const {
  Importance out;
  for (const auto& [data, columns] : matrices_) {
    if (columns.rows == 0) continue;
    std::vector<float>& means = out[columns.name];
    for (const double squares : columns.squares) means.push_back(static_cast<float>(squares / columns.rows));
  }
  return out;
}

}  // namespace lancet
