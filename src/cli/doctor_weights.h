// The weights as numbers, without computing anything with them; and the configuration's numbers against what models
// have.
#pragma once

#include "checkpoint/checkpoint.h"
#include "cli/doctor_numbers.h"
#include "cli/doctor_report.h"
#include "text/tokenizer.h"

namespace lancet {

/// The configuration against what models have, and damage in small tensors (norms).
void examine_config(const Checkpoint&, Report&);

/// What can be told in milliseconds, at every load: the configuration, small tensors, the values of scales, special ids
/// and the chat template.
void examine_at_load(const Checkpoint&, const Tokenizer&, Report&);

/// All tensors that there is time for; of models with very many numbers a part of the rows. Returns their statistics.
std::vector<TensorStats> examine_weights(const Checkpoint&, const Deadline&, Report&);

}  // namespace lancet
