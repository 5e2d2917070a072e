// Causal attention over the paged cache.
#pragma once

#include "backend/backend.h"
#include "backend/cpu/cpu_core.h"
#include "backend/cpu/kv_cache.h"

namespace lancet {

struct AttentionCall {
  const Batch& batch;
  const KvCache& cache;
  int layer;
  Matrix q, out;  // [batch rows, heads * head_width]
};

/// out[r, head] = softmax(q[r, head] . K / sqrt(head_width)) V over positions 0..positions[r] of the row's sequence;
/// query head h reads key head h / (heads / kv_heads). Keys are visited in order of position in tiles of fixed size, so
/// a row's result depends on its own sequence only: not on how the prompt was cut, what else is in the batch, where the
/// blocks lie, or how many threads there are.
void attend_paged(CpuCore& core, const AttentionCall& call);

}  // namespace lancet
