// One value of a configuration on its way to us: looked up, checked against its range, written down with its origin.
#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "checkpoint/config_limits.h"
#include "checkpoint/config_readers.h"

namespace lancet {

int ConfigSource::integer(std::string_view name, std::string_view key, std::optional<int> fallback) {
  const ConfigRange& range = config_range(name);
  const auto member = fallback ? object_.find(key) : object_.at(key);
  if (!member) {
    record(name, *fallback, "default");
    return *fallback;
  }
  const auto value =
      static_cast<int>(member->integer(static_cast<int64_t>(range.low), static_cast<int64_t>(range.high)));
  record(name, value, member->path());
  return value;
}

double ConfigSource::number(std::string_view name, std::string_view key, std::optional<double> fallback) {
  const ConfigRange& range = config_range(name);
  const auto member = fallback ? object_.find(key) : object_.at(key);
  if (!member) {
    record(name, *fallback, "default");
    return *fallback;
  }
  const double value = member->number(range.low, range.high);
  record(name, value, member->path());
  return value;
}

bool ConfigSource::boolean(std::string_view name, std::string_view key, bool fallback) {
  const auto member = object_.find(key);
  const bool value = member ? member->boolean() : fallback;
  config_->origins.push_back({std::string(name), value ? "true" : "false", member ? member->path() : "default", file_});
  return value;
}

void ConfigSource::derived(std::string_view name, double value, std::string how) {
  record(name, value, "derived from " + how);
}

void ConfigSource::record(std::string_view name, double value, std::string key) {
  config_->origins.push_back({std::string(name), fmt::format("{}", value), std::move(key), file_});
}

void ConfigSource::note_unknown(std::span<const std::string_view> known, std::span<const std::string_view> also_known) {
  constexpr size_t kShown = 8;
  std::string list;
  size_t count = 0;
  for (const auto& [key, value] : object_.object()) {
    const std::string_view name(key.data(), key.size());
    const auto knows = [&](auto list) { return std::find(list.begin(), list.end(), name) != list.end(); };
    if (knows(known) || knows(also_known)) continue;
    if (++count <= kShown) list += (list.empty() ? "" : ", ") + lancet::quoted(name, 40);
  }
  if (count == 0) return;
  const std::string where = object_.path().empty() ? "" : " in " + object_.path();
  const std::string more = count > kShown ? fmt::format(" and {} more", count - kShown) : "";
  config_->notes.push_back(fmt::format("{}: unknown keys{} were ignored: {}{}", file_, where, list, more));
}

}  // namespace lancet
