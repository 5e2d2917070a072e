#include "cli/serve_flags.h"

#include <cstdio>

#include <fmt/format.h>

#include "base/log.h"
#include "server/limits_table.h"
#include "server/metrics.h"

namespace lancet {
namespace {

#ifdef LANCET_COMMIT
constexpr const char* kCommit = LANCET_COMMIT;
#else
constexpr const char* kCommit = "";
#endif

void declare_limit(Flags& flags, const LimitRow& row, ServerLimits& limits) {
  const std::string help = fmt::format("limit: {}{}{}", row.what, row.unit.empty() ? "" : ", in ", row.unit);
  std::visit(
      [&](auto member) {
        using Value = std::remove_reference_t<decltype(limits.*member)>;
        flags.add(row.flag, limits.*member, help, static_cast<Value>(row.low), static_cast<Value>(row.high));
      },
      row.member);
}

LogLevel level_of(std::string_view name) {
  for (const LogLevel level : {LogLevel::debug, LogLevel::info, LogLevel::warning})
    if (log_level_name(level) == name) return level;
  return LogLevel::error;
}

}  // namespace

void ServeFlags::declare(Flags& flags, ServerOptions& into) {
  flags.choice("--log-format", log_format_, "lines on stderr as text or as JSON objects", {"text", "json"});
  flags.choice("--log-level", log_level_, "least important lines that are written",
               {"debug", "info", "warning", "error"});
  flags.choice("--metrics-compat", metrics_compat_, "/metrics with the names of another server too", {"none", "vllm"});
  flags.add("--print-limits", print_limits_, "print docs/limits.md and stop");
  flags.add("--print-metrics", print_metrics_, "print docs/metrics.md and stop");
  for (const LimitRow& row : limit_rows()) declare_limit(flags, row, into.limits);
}

bool ServeFlags::apply(ServerOptions& into) const {
  if (print_limits_) fmt::print("{}", limits_markdown());
  if (print_metrics_) fmt::print("{}", metrics_markdown());
  set_log_format(log_format_ == "json" ? LogFormat::json : LogFormat::text);
  set_log_level(level_of(log_level_));
  into.vllm_metrics = metrics_compat_ == "vllm";
  into.version = LANCET_VERSION;
  into.commit = kCommit;
  return print_limits_ || print_metrics_;
}

}  // namespace lancet
