// Rotary embedding of a step's rows.
#pragma once

#include <vector>

#include "backend/backend.h"
#include "backend/cpu/cpu_core.h"

namespace lancet {

/// cos and sin of the step's rows: worked out at the first layer, used by all.
class Rotation {
 public:
  /// Forgets the last step's rows.
  void reset() { made_.clear(); }

  /// Turns each head of x in place by its row's position. x: [batch rows, heads * head_width].
  void apply(CpuCore& core, const Batch& batch, Matrix x, const RopeTable& table, bool queries);

 private:
  struct Angles {
    const RopeTable* table;
    bool queries;
    float* cos_sin;  // [batch rows, 2, head_width / 2]
  };
  const float* angles(CpuCore& core, const Batch& batch, const RopeTable& table, bool queries);

  std::vector<Angles> made_;
};

}  // namespace lancet
