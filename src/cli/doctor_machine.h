// The machine: what its CPU can do, how much memory is free, how fast both are, and whether the usual port is.
#pragma once

#include "cli/doctor_report.h"

namespace lancet {

void examine_machine(Report&);

}  // namespace lancet
