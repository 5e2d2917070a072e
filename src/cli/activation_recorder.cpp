#include "cli/activation_recorder.h"

#include <algorithm>

#include "base/check.h"

namespace lancet {

Weight ActivationRecorder::place(const StoredTensor& tensor, WeightUse use) {
  Weight weight = inner_.place(tensor, use);
  if (tensor.rows > 1) {
    Columns& columns = matrices_[weight.data];
    columns.name = tensor.name;
    columns.squares.resize(static_cast<size_t>(tensor.cols));
  }
  return weight;
}

void ActivationRecorder::matmul(Matrix x, std::initializer_list<Product> products) {
  const std::span<const float> values = inner_.read(x);
  std::vector<double> sums(static_cast<size_t>(x.cols));
  for (size_t at = 0; at < values.size(); at += sums.size())
    for (size_t col = 0; col < sums.size(); col++) sums[col] += double{values[at + col]} * values[at + col];
  for (const Product& product : products) {
    const auto found = matrices_.find(product.weight.data);
    CHECK(found != matrices_.end());
    for (size_t col = 0; col < sums.size(); col++) found->second.squares[col] += sums[col];
  }
  inner_.matmul(x, products);
}

Importance ActivationRecorder::importance() const {
  // A column that the text did not use is used by another.
  constexpr double kLeast = 1e-3;
  Importance out;
  for (const auto& [data, columns] : matrices_) {
    double mean = 0;
    for (const double squares : columns.squares) mean += squares / static_cast<double>(columns.squares.size());
    if (!(mean > 0)) continue;
    std::vector<float>& weights = out[columns.name];
    for (const double squares : columns.squares)
      weights.push_back(static_cast<float>(std::max(squares / mean, kLeast)));
  }
  return out;
}

}  // namespace lancet
