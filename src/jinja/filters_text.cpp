// Filters whose result is a text or a number. The table is at the end.
#include <cmath>
#include <cstdlib>

#include <fmt/format.h>

#include "jinja/builtins.h"
#include "jinja/operators.h"

namespace lancet {
namespace {

JinjaValue text_value(MarkedText text) { return JinjaValue::string(std::move(text)); }

JinjaValue filter_string(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  bind_arguments(run, "string", given, {});
  return text_value(jinja_text(run, input));
}

/// safe marks text for HTML escaping, which chat templates have switched off.
JinjaValue filter_safe(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  return filter_string(run, input, given);
}

JinjaValue filter_upper(JinjaRun& run, const JinjaValue& input, const JinjaArguments&) {
  return text_value(upper_text(jinja_text(run, input)));
}

JinjaValue filter_lower(JinjaRun& run, const JinjaValue& input, const JinjaArguments&) {
  return text_value(lower_text(jinja_text(run, input)));
}

JinjaValue filter_capitalize(JinjaRun& run, const JinjaValue& input, const JinjaArguments&) {
  return text_value(capitalized_text(jinja_text(run, input)));
}

JinjaValue filter_title(JinjaRun& run, const JinjaValue& input, const JinjaArguments&) {
  constexpr auto kBoundary = [](char32_t c) {
    return is_python_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  };
  return text_value(titled_text(jinja_text(run, input), kBoundary));
}

JinjaValue filter_trim(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "trim", given, {"chars"});
  const MarkedText text = jinja_text(run, input);
  run.charge(text.size() * sizeof(size_t));
  return text_value(stripped_text(text, bound[0], true, true));
}

JinjaValue filter_replace(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "replace", given, {"old", "new", "count"}, 2);
  return text_value(replaced_text(run, jinja_text(run, input), jinja_text(run, *bound[0]).str(),
                                  jinja_text(run, *bound[1]), argument_integer(run, bound[2], -1)));
}

JinjaValue filter_escape(JinjaRun& run, const JinjaValue& input, const JinjaArguments&) {
  MarkedText text = jinja_text(run, input);
  constexpr std::pair<const char*, const char*> kEntities[] = {
      {"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"'", "&#39;"}, {"\"", "&#34;"}};
  // The entity takes the place of untrusted text as often as not, so it is not trusted.
  for (const auto& [character, entity] : kEntities) text = replaced_text(run, text, character, {entity, false}, -1);
  return text_value(std::move(text));
}

JinjaValue filter_indent(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "indent", given, {"width", "first", "blank"});
  MarkedText margin;
  if (bound[0] && bound[0]->is_string()) {
    margin = bound[0]->text();
  } else {
    const int64_t width = std::max<int64_t>(argument_integer(run, bound[0], 4), 0);
    run.charge_text(static_cast<uint64_t>(width));
    margin.append(std::string(static_cast<size_t>(width), ' '), true);
  }
  const bool first = argument_truth(bound[1], false), blank = argument_truth(bound[2], false);
  const MarkedText text = jinja_text(run, input);
  MarkedText result;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.str().find('\n', begin), text.size());
    const bool is_first = begin == 0;
    if (is_first ? first : (blank || end > begin)) result.append(margin);
    result.append_slice(text, begin, std::min(end + 1, text.size()));
    run.step();
    if (result.size() > run.limits().output_bytes) run.charge_text(result.size());
    begin = end + 1;
  }
  run.charge_text(result.size());
  return text_value(std::move(result));
}

JinjaValue filter_tojson(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  // The signature of transformers' own filter, not Jinja's: no HTML escaping.
  const auto bound = bind_arguments(run, "tojson", given, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = argument_truth(bound[0], false);
  if (bound[1] && bound[1]->is_string()) {
    style.indent = bound[1]->str();
  } else if (bound[1] && !bound[1]->is_none()) {
    const int64_t width = std::max<int64_t>(argument_integer(run, bound[1], 0), 0);
    run.charge_text(static_cast<uint64_t>(width));
    style.indent = std::string(static_cast<size_t>(width), ' ');
  }
  if (style.indent) style.item_separator = ",";
  if (bound[2] && !bound[2]->is_none()) {
    const auto pair = jinja_elements(run, *bound[2]);
    if (pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string()) run.fail("separators are two strings");
    style.item_separator = pair[0].str();
    style.key_separator = pair[1].str();
  }
  style.sort_keys = argument_truth(bound[3], false);
  MarkedText text = jinja_json(run, input, style);
  const bool foreign_style = (bound[1] && contains_untrusted(*bound[1])) || (bound[2] && contains_untrusted(*bound[2]));
  return text_value(foreign_style ? MarkedText(text.str(), false) : std::move(text));
}

/// The number that a whole text spells, whitespace around it ignored.
std::optional<double> spelled_number(const MarkedText& text) {
  const std::string digits = stripped_text(text, nullptr, true, true).str();
  if (digits.empty() || digits.find_first_not_of("0123456789+-.eE") != std::string::npos) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(digits.c_str(), &end);
  if (end != digits.c_str() + digits.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

JinjaValue filter_int(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "int", given, {"default", "base"});
  const JinjaValue fallback = bound[0] ? *bound[0] : JinjaValue::integer(0);
  if (input.is_undefined()) run.fail(input.hint());
  if (input.is_integral()) return JinjaValue::integer(input.as_integer());
  if (input.is_string()) {
    std::string digits = stripped_text(input.text(), nullptr, true, true).str();
    const int base = static_cast<int>(argument_integer(run, bound[1], 10));
    if (base < 2 || base > 36) run.fail("int() base must be from 2 to 36");
    char* end = nullptr;
    errno = 0;
    const long long value = std::strtoll(digits.c_str(), &end, base);
    if (!digits.empty() && end == digits.c_str() + digits.size() && errno == 0) return JinjaValue::integer(value);
  }
  std::optional<double> value;
  if (input.is_string()) value = spelled_number(input.text());
  if (input.is(JinjaValue::Kind::real)) value = input.as_real();
  if (!value || !(std::fabs(*value) < 9.2e18)) return fallback;
  return JinjaValue::integer(static_cast<int64_t>(*value));
}

JinjaValue filter_float(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "float", given, {"default"});
  if (input.is_undefined()) run.fail(input.hint());
  if (input.is_number()) return JinjaValue::real(input.as_real());
  if (input.is_string())
    if (const auto value = spelled_number(input.text())) return JinjaValue::real(*value);
  return bound[0] ? *bound[0] : JinjaValue::real(0);
}

JinjaValue filter_abs(JinjaRun& run, const JinjaValue& input, const JinjaArguments&) {
  if (!input.is_number()) run.fail(fmt::format("bad operand type for abs(): '{}'", input.type_name()));
  if (input.is(JinjaValue::Kind::real)) return JinjaValue::real(std::fabs(input.as_real()));
  const JinjaValue value = JinjaValue::integer(input.as_integer());
  return value.as_integer() < 0 ? jinja_negate(run, value) : value;
}

JinjaValue filter_round(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "round", given, {"precision", "method"});
  if (!input.is_number()) run.fail(fmt::format("type {} doesn't define __round__ method", input.type_name()));
  const int64_t precision = argument_integer(run, bound[0], 0);
  const std::string method = bound[1] && bound[1]->is_string() ? bound[1]->str() : "common";
  if (precision < 0 || precision > 300) run.fail("round takes a precision from 0 to 300");
  if (method != "common" && method != "ceil" && method != "floor") run.fail("method must be common, ceil or floor");
  if (method == "common") {
    if (input.is_integral()) return JinjaValue::integer(input.as_integer());
    // Decimal rounding of the exact binary value, as Python does it.
    return JinjaValue::real(std::strtod(fmt::format("{:.{}f}", input.as_real(), precision).c_str(), nullptr));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = input.as_real() * scale;
  return JinjaValue::real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

JinjaValue filter_wordcount(JinjaRun& run, const JinjaValue& input, const JinjaArguments&) {
  int64_t words = 0;
  bool inside = false;
  const MarkedText text = jinja_text(run, input);
  for (const char c : text.str()) {
    const bool is_word =
        std::isalnum(static_cast<unsigned char>(c)) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
    words += is_word && !inside;
    inside = is_word;
  }
  return JinjaValue::integer(words);
}

JinjaValue filter_format(JinjaRun& run, const JinjaValue& input, const JinjaArguments& given) {
  if (!given.named.empty()) run.fail("format takes positional arguments only");
  return percent_format(run, JinjaValue::string(jinja_text(run, input)), JinjaValue::list(given.positional, true));
}

constexpr JinjaFilterRow kFilters[] = {
    {"string", filter_string},
    {"safe", filter_safe},
    {"upper", filter_upper},
    {"lower", filter_lower},
    {"capitalize", filter_capitalize},
    {"title", filter_title},
    {"trim", filter_trim},
    {"replace", filter_replace},
    {"escape", filter_escape},
    {"e", filter_escape},
    {"indent", filter_indent},
    {"tojson", filter_tojson},
    {"int", filter_int},
    {"float", filter_float},
    {"abs", filter_abs},
    {"round", filter_round},
    {"wordcount", filter_wordcount},
    {"format", filter_format},
};

}  // namespace

JinjaFilter find_text_filter(std::string_view name) {
  for (const JinjaFilterRow& row : kFilters)
    if (row.name == name) return row.function;
  return nullptr;
}

JinjaFilter find_jinja_filter(std::string_view name) {
  if (const JinjaFilter filter = find_text_filter(name)) return filter;
  if (const JinjaFilter filter = find_sequence_filter(name)) return filter;
  return find_choice_filter(name);
}

}  // namespace lancet
