// A backend that lets another one do the work and looks at the residual stream: what every half of a layer adds to it.
// It can also put a reference's stream in place of its own after each half, so that a difference is seen where it
// arises and not in all that follows. For backends whose matrices lie in host memory.
#pragma once

#include <vector>

#include "backend/forwarding_backend.h"

namespace lancet {

/// One addition to the residual stream: layer i's attention is number 2 i, its feed-forward 2 i + 1.
struct StreamStep {
  std::vector<float> added, stream;  // [rows, hidden]; the stream after it
};

/// Shares of negative numbers among the inputs of one gated unit: of the gate and of what it gates.
struct GateSigns {
  double gate = 0, up = 0;
};

class WatchedBackend final : public ForwardingBackend {
 public:
  /// `reference`: the steps of another run over the same rows; null: none is put in place.
  explicit WatchedBackend(Backend& worker, const std::vector<StreamStep>* reference = nullptr)
      : ForwardingBackend(worker), reference_(reference) {}
  /// Of the last step.
  const std::vector<StreamStep>& steps() const { return steps_; }

  /// By layer, of the last step.
  const std::vector<GateSigns>& gates() const { return gates_; }

  void begin_step(const Batch& batch) override {
    steps_.clear();
    gates_.clear();
    inner_.begin_step(batch);
  }
  void silu_mul(Matrix out, Matrix gate, Matrix up) override;
  void add(Matrix x, Matrix y) override;

 private:
  const std::vector<StreamStep>* reference_;
  std::vector<StreamStep> steps_;
  std::vector<GateSigns> gates_;
};

}  // namespace lancet
