#include "cli/watched_backend.h"

#include <algorithm>

namespace lancet {

void WatchedBackend::add(Matrix x, Matrix y) {
  const auto copy = [&](Matrix matrix) {
    const auto values = inner_.read(matrix);
    return std::vector<float>(values.begin(), values.end());
  };
  StreamStep step{.added = copy(y), .stream = {}};
  inner_.add(x, y);
  step.stream = copy(x);
  if (reference_ && steps_.size() < reference_->size()) {
    const std::vector<float>& wanted = (*reference_)[steps_.size()].stream;
    if (wanted.size() == step.stream.size()) std::copy(wanted.begin(), wanted.end(), x.data);
  }
  steps_.push_back(std::move(step));
}

void WatchedBackend::silu_mul(Matrix out, Matrix gate, Matrix up) {
  const auto negative = [&](Matrix matrix) {
    const auto values = inner_.read(matrix);
    const auto count = std::count_if(values.begin(), values.end(), [](float value) { return value < 0; });
    return static_cast<double>(count) / static_cast<double>(std::max<size_t>(1, values.size()));
  };
  gates_.push_back({negative(gate), negative(up)});
  inner_.silu_mul(out, gate, up);
}

}  // namespace lancet
