// Look-ups in the table of fields (field_table.cpp), and reading by it.
#include "server/fields.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/check.h"
#include "server/http.h"

namespace lancet {
namespace {

/// INT64_MAX is not a double; 2^63 stands for it.
int64_t whole(double bound) {
  constexpr double kTwo63 = 9223372036854775808.0;
  return bound >= kTwo63 ? INT64_MAX : static_cast<int64_t>(bound);
}

}  // namespace

const Field* find_field(std::string_view name, Body body) {
  const auto all = fields();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Field& field) {
    return field.name == name && (field.bodies & static_cast<unsigned>(body));
  });
  return found == all.end() ? nullptr : &*found;
}

double field_high(const Field& field, const ServerLimits& limits) {
  return field.high_limit ? limits.*field.high_limit : field.high;
}

const Field& FieldReader::row(std::string_view name) const {
  const Field* field = find_field(name, body_);
  CHECK(field != nullptr);
  return *field;
}

std::optional<JsonView> FieldReader::find(std::string_view name) const { return root_.find(row(name).name); }

bool FieldReader::flag(std::string_view name, bool otherwise) const {
  const auto view = find(name);
  return view ? view->boolean() : otherwise;
}

std::optional<double> FieldReader::number(std::string_view name) const {
  const Field& field = row(name);
  const auto view = find(name);
  if (!view) return std::nullopt;
  return view->number(field.low, field_high(field, limits_));
}

std::optional<int64_t> FieldReader::integer(std::string_view name) const {
  const Field& field = row(name);
  const auto view = find(name);
  if (!view) return std::nullopt;
  return view->integer(whole(field.low), whole(field_high(field, limits_)));
}

std::optional<int> FieldReader::small_integer(std::string_view name) const {
  const auto value = integer(name);
  return value ? std::optional(static_cast<int>(*value)) : std::nullopt;
}

std::optional<std::string> FieldReader::string(std::string_view name) const {
  const Field& field = row(name);
  const auto view = find(name);
  if (!view) return std::nullopt;
  const std::string_view text = view->string();
  if (field.most && text.size() > limits_.*field.most)
    view->fail(fmt::format("a string of at most {} bytes", limits_.*field.most));
  return std::string(text);
}

std::optional<JsonView> FieldReader::list(std::string_view name) const {
  const Field& field = row(name);
  const auto view = find(name);
  if (view && field.most) check_count(*view, limits_.*field.most);
  return view;
}

void check_count(const JsonView& view, size_t most) {
  const size_t found = view.value().is_object() ? view.object().size() : view.size();
  if (found > most)
    throw Error(Fault::bad_request, fmt::format("{} has {} elements, wanted at most {}", view.path(), found, most),
                view.path());
}

std::vector<std::string> check_fields(const FieldReader& reader) {
  const bool strict = reader.flag("strict_params", reader.limits().strict_params);
  std::vector<std::string> unknown;
  for (const auto& [name, value] : reader.root().object()) {
    const Field* field = find_field(name, reader.body());
    if (!field) {
      if (strict)
        throw Error(Fault::bad_request,
                    fmt::format("there is no field {}; strict_params refuses what is not known",
                                quoted(std::string_view(name))),
                    std::string(std::string_view(name).substr(0, 120)));
      unknown.emplace_back(name);
    } else if (field->use == FieldUse::refused && !value.is_null() && !field->neutral->holds(value)) {
      throw Error(Fault::unsupported,
                  fmt::format("{} is not supported with this value: wanted {}", field->name, field->neutral->words),
                  std::string(field->name));
    }
  }
  return unknown;
}

std::string ignored_header(const std::vector<std::string>& names) {
  constexpr size_t kMostBytes = 1024;
  std::string out;
  for (size_t i = 0; i < names.size(); i++) {
    const std::string name = percent_encoded(std::string_view(names[i]).substr(0, 64));
    if (out.size() + name.size() + 2 > kMostBytes - 32) return out + fmt::format(", and {} more", names.size() - i);
    out += (out.empty() ? "" : ", ") + name;
  }
  return out;
}

}  // namespace lancet
