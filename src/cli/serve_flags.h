// The flags of `lancet serve` that operators use: limits, logs, metrics.
#pragma once

#include <string>

#include "cli/flags.h"
#include "server/server.h"

namespace lancet {

class ServeFlags {
 public:
  /// `into` must outlive parsing; its limits get their flags from the table of limits.
  void declare(Flags&, ServerOptions& into);
  /// After parsing. True: the command only had to print something, and has.
  bool apply(ServerOptions& into) const;

 private:
  std::string log_format_ = "text", log_level_ = "info", metrics_compat_ = "none";
  bool print_limits_ = false, print_metrics_ = false;
};

}  // namespace lancet
