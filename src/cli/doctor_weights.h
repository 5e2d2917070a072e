// The weights as numbers, without computing anything with them; and the configuration's numbers against what models
// have.
#pragma once

#include "checkpoint/checkpoint.h"
#include "cli/doctor_numbers.h"
#include "cli/doctor_report.h"

namespace lancet {

/// Configuration, scales, and damage in small tensors: what can be told in milliseconds, at every load.
void examine_cheaply(const Checkpoint&, Report&);

/// All tensors, of which every `row_step`-th row is read. Returns the text model's statistics.
std::vector<TensorStats> examine_weights(const Checkpoint&, Report&);

}  // namespace lancet
