// Methods of texts, Python's names and meanings. The table is at the end.
#include <algorithm>

#include <fmt/format.h>

#include "base/utf8.h"
#include "jinja/builtins.h"
#include "jinja/operators.h"

namespace lancet {
namespace {

using Method = JinjaValue (*)(JinjaRun&, const JinjaValue& self, const JinjaArguments&);

JinjaValue text_value(MarkedText text) { return JinjaValue::string(std::move(text)); }

const std::string& needed_text(JinjaRun& run, const JinjaValue* value) {
  if (value->is_undefined()) run.fail(value->hint());
  if (!value->is_string()) run.fail(fmt::format("a str is required, not {}", value->type_name()));
  return value->str();
}

template <bool left, bool right>
JinjaValue strip(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "strip", given, {"chars"});
  run.charge(self.str().size() * sizeof(size_t));
  return text_value(stripped_text(self.text(), bound[0], left, right));
}

JinjaValue upper(JinjaRun&, const JinjaValue& self, const JinjaArguments&) {
  return text_value(upper_text(self.text()));
}
JinjaValue lower(JinjaRun&, const JinjaValue& self, const JinjaArguments&) {
  return text_value(lower_text(self.text()));
}
JinjaValue capitalize(JinjaRun&, const JinjaValue& self, const JinjaArguments&) {
  return text_value(capitalized_text(self.text()));
}
JinjaValue title(JinjaRun&, const JinjaValue& self, const JinjaArguments&) {
  return text_value(titled_text(self.text(), [](char32_t c) { return !is_letter(c); }));
}

JinjaValue replace(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "replace", given, {"old", "new", "count"}, 2);
  needed_text(run, bound[1]);
  return text_value(replaced_text(run, self.text(), needed_text(run, bound[0]), bound[1]->text(),
                                  argument_integer(run, bound[2], -1)));
}

/// The pieces between runs of whitespace, at most `most` cuts; the rest keeps its inner whitespace.
std::vector<JinjaValue> split_whitespace(JinjaRun& run, const MarkedText& text, int64_t most, bool from_right) {
  const auto offsets = character_offsets(text.str());
  const size_t count = offsets.size() - 1;
  const auto at = [&](size_t i) { return from_right ? count - 1 - i : i; };
  const auto space = [&](size_t i) {
    return is_python_space(utf8_next(std::string_view(text.str()).substr(offsets[at(i)])).code_point);
  };
  const auto piece = [&](size_t begin, size_t end) {  // in reading direction
    const size_t low = from_right ? count - end : begin, high = from_right ? count - begin : end;
    return text_value(text.slice(offsets[low], offsets[high]));
  };
  std::vector<JinjaValue> pieces;
  size_t i = 0;
  for (;;) {
    while (i < count && space(i)) i++;
    if (i == count) break;
    const size_t begin = i;
    if (most == 0) {
      pieces.push_back(piece(begin, count));
      break;
    }
    while (i < count && !space(i)) i++;
    pieces.push_back(piece(begin, i));
    run.step();
    most--;
  }
  if (from_right) std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

std::vector<JinjaValue> split_at(JinjaRun& run, const MarkedText& text, const std::string& separator, int64_t most,
                                 bool from_right) {
  if (separator.empty()) run.fail("empty separator");
  const std::string& whole = text.str();
  std::vector<JinjaValue> pieces;
  size_t begin = 0, end = whole.size();
  for (; most != 0; most--) {
    run.step();
    if (from_right && separator.size() > end) break;
    const size_t found = from_right ? whole.rfind(separator, end - separator.size()) : whole.find(separator, begin);
    if (found == std::string::npos) break;
    if (from_right) {
      pieces.push_back(text_value(text.slice(found + separator.size(), end)));
      end = found;
    } else {
      pieces.push_back(text_value(text.slice(begin, found)));
      begin = found + separator.size();
    }
  }
  pieces.push_back(text_value(text.slice(begin, end)));
  if (from_right) std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

template <bool from_right>
JinjaValue split(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, "split", given, {"sep", "maxsplit"});
  const int64_t most = argument_integer(run, bound[1], -1);
  run.charge(self.str().size() * sizeof(size_t));
  if (!bound[0] || bound[0]->is_none()) {
    return JinjaValue::list(split_whitespace(run, self.text(), most, from_right));
  }
  return JinjaValue::list(split_at(run, self.text(), needed_text(run, bound[0]), most, from_right));
}

JinjaValue splitlines(JinjaRun& run, const JinjaValue& self, const JinjaArguments&) {
  const std::string& whole = self.str();
  std::vector<JinjaValue> lines;
  for (size_t begin = 0; begin < whole.size();) {
    run.step();
    const size_t end = std::min(whole.find_first_of("\n\r", begin), whole.size());
    lines.push_back(text_value(self.text().slice(begin, end)));
    begin = end + (whole.compare(end, 2, "\r\n") == 0 ? 2 : 1);
  }
  return JinjaValue::list(std::move(lines));
}

/// startswith and endswith take one text or a tuple of them.
template <bool at_start>
JinjaValue has_end(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, at_start ? "startswith" : "endswith", given, {"prefix"}, 1);
  std::vector<JinjaValue> candidates{*bound[0]};
  if (bound[0]->is(JinjaValue::Kind::list)) candidates = bound[0]->items();
  for (const JinjaValue& candidate : candidates) {
    const std::string& text = needed_text(run, &candidate);
    if (at_start ? self.str().starts_with(text) : self.str().ends_with(text)) return JinjaValue::boolean(true);
  }
  return JinjaValue::boolean(false);
}

template <bool at_start>
JinjaValue remove_end(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  const auto bound = bind_arguments(run, at_start ? "removeprefix" : "removesuffix", given, {"text"}, 1);
  const std::string& text = needed_text(run, bound[0]);
  const size_t size = self.str().size();
  if (at_start && self.str().starts_with(text)) return text_value(self.text().slice(text.size(), size));
  if (!at_start && self.str().ends_with(text)) return text_value(self.text().slice(0, size - text.size()));
  return self;
}

/// The position of a piece in characters, or -1.
int64_t position(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given, bool from_right) {
  const auto bound = bind_arguments(run, "find", given, {"sub"}, 1);
  const std::string& piece = needed_text(run, bound[0]);
  run.charge(self.str().size() * sizeof(size_t));
  const size_t found = from_right ? self.str().rfind(piece) : self.str().find(piece);
  if (found == std::string::npos) return -1;
  return static_cast<int64_t>(character_offsets(std::string_view(self.str()).substr(0, found)).size()) - 1;
}

template <bool from_right, bool must_exist>
JinjaValue find(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  const int64_t at = position(run, self, given, from_right);
  if (must_exist && at < 0) run.fail("substring not found");
  return JinjaValue::integer(at);
}

JinjaValue count(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  const std::string& piece = needed_text(run, bind_arguments(run, "count", given, {"sub"}, 1)[0]);
  if (piece.empty()) return JinjaValue::integer(jinja_length(run, self) + 1);
  int64_t found = 0;
  for (size_t at = self.str().find(piece); at != std::string::npos; at = self.str().find(piece, at + piece.size())) {
    run.step();
    found++;
  }
  return JinjaValue::integer(found);
}

JinjaValue join(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  const auto items = jinja_elements(run, *bind_arguments(run, "join", given, {"iterable"}, 1)[0]);
  for (const JinjaValue& item : items) needed_text(run, &item);
  return text_value(joined_text(run, self.text(), items));
}

template <bool (*accepts)(char32_t)>
JinjaValue all_characters(JinjaRun&, const JinjaValue& self, const JinjaArguments&) {
  const std::string_view text = self.str();
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_next(text.substr(at));
    if (!accepts(step.code_point)) return JinjaValue::boolean(false);
    at += step.length;
  }
  return JinjaValue::boolean(!text.empty());
}

bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }
bool is_letter_or_digit(char32_t c) { return is_letter(c) || is_digit(c); }

template <bool wants_upper>
JinjaValue is_case(JinjaRun&, const JinjaValue& self, const JinjaArguments&) {
  const std::string upper = upper_text(self.text()).str(), lower = lower_text(self.text()).str();
  return JinjaValue::boolean(upper != lower && self.str() == (wants_upper ? upper : lower));
}

/// "{} {0} {name}".format(...), without format specifications.
JinjaValue format(JinjaRun& run, const JinjaValue& self, const JinjaArguments& given) {
  const std::string& whole = self.str();
  MarkedText result;
  size_t next = 0, begin = 0;
  for (size_t at = whole.find_first_of("{}"); at != std::string::npos; at = whole.find_first_of("{}", begin)) {
    run.step();
    result.append_slice(self.text(), begin, at);
    if (at + 1 < whole.size() && whole[at + 1] == whole[at]) {  // {{ and }}
      result.append_slice(self.text(), at, at + 1);
      begin = at + 2;
      continue;
    }
    const size_t close = whole.find('}', at);
    if (whole[at] == '}' || close == std::string::npos) run.fail("format: a single bracket");
    const std::string name = whole.substr(at + 1, close - at - 1);
    const bool numbered = !name.empty() && name.size() < 6 &&
                          std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
    const JinjaValue* value = nullptr;
    if (name.empty() || numbered) {
      const size_t index = numbered ? static_cast<size_t>(std::stoi(name)) : next++;
      if (index < given.positional.size()) value = &given.positional[index];
    }
    for (const auto& [given_name, given_value] : given.named)
      if (given_name == name) value = &given_value;
    if (!value) run.fail("format: no argument for this replacement field");
    result.append(jinja_text(run, *value));
    run.charge_text(result.size());
    begin = close + 1;
  }
  result.append_slice(self.text(), begin, whole.size());
  return text_value(std::move(result));
}

struct Row {
  std::string_view name;
  Method function;
};
constexpr Row kMethods[] = {
    {"strip", strip<true, true>},
    {"lstrip", strip<true, false>},
    {"rstrip", strip<false, true>},
    {"upper", upper},
    {"lower", lower},
    {"capitalize", capitalize},
    {"title", title},
    {"replace", replace},
    {"split", split<false>},
    {"rsplit", split<true>},
    {"splitlines", splitlines},
    {"startswith", has_end<true>},
    {"endswith", has_end<false>},
    {"removeprefix", remove_end<true>},
    {"removesuffix", remove_end<false>},
    {"find", find<false, false>},
    {"rfind", find<true, false>},
    {"index", find<false, true>},
    {"rindex", find<true, true>},
    {"count", count},
    {"join", join},
    {"isdigit", all_characters<is_digit>},
    {"isalpha", all_characters<is_letter>},
    {"isalnum", all_characters<is_letter_or_digit>},
    {"isspace", all_characters<is_python_space>},
    {"isupper", is_case<true>},
    {"islower", is_case<false>},
    {"format", format},
};

}  // namespace

std::optional<JinjaValue> text_method(const JinjaValue& object, std::string_view name) {
  for (const Row& row : kMethods) {
    if (row.name != name) continue;
    return jinja_function([object, method = row.function](JinjaRun& run, const JinjaArguments& given) {
      run.charge(object.str().size());
      return method(run, object, given);
    });
  }
  return std::nullopt;
}

}  // namespace lancet
