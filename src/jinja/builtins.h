// The tables of what a template can name: filters, tests, methods, functions. Adding one is one row in its table.
#pragma once

#include <initializer_list>
#include <optional>
#include <string_view>
#include <vector>

#include "jinja/ast.h"
#include "jinja/run.h"
#include "jinja/value.h"

namespace lancet {

struct JinjaFilterRow {
  std::string_view name;
  JinjaFilter function;
};

/// Null if there is none of this name.
JinjaFilter find_jinja_filter(std::string_view name);
JinjaFilter find_text_filter(std::string_view name);      // filters_text.cpp
JinjaFilter find_sequence_filter(std::string_view name);  // filters_sequence.cpp
JinjaFilter find_choice_filter(std::string_view name);    // filters_choice.cpp
JinjaTest find_jinja_test(std::string_view name);

/// A method of a str, list or dict, bound to its object; nothing if there is none of this name.
std::optional<JinjaValue> jinja_method(const JinjaValue& object, std::string_view name);
std::optional<JinjaValue> text_method(const JinjaValue& object, std::string_view name);  // methods_text.cpp

/// range, namespace, dict, joiner, raise_exception, strftime_now; null if there is none of this name.
const JinjaValue* find_jinja_global(std::string_view name);

/// The arguments in the order of `names`, null where not given. Fails for unknown names and for too many; the first
/// `required` must be there. `function` is for messages.
std::vector<const JinjaValue*> bind_arguments(JinjaRun&, std::string_view function, const JinjaArguments&,
                                              std::initializer_list<std::string_view> names, size_t required = 0);

// One bound argument as a plain value; absent gives the fallback, a wrong type fails.
int64_t argument_integer(JinjaRun&, const JinjaValue* value, int64_t fallback);
bool argument_truth(const JinjaValue* value, bool fallback);

// Texts.
char32_t upper_character(char32_t);
char32_t lower_character(char32_t);
bool is_python_space(char32_t);
bool is_letter(char32_t);  // of the alphabets that have cases here
MarkedText upper_text(const MarkedText&);
MarkedText lower_text(const MarkedText&);
MarkedText capitalized_text(const MarkedText&);
/// Words begin after every character that `is_boundary` accepts.
MarkedText titled_text(const MarkedText&, bool (*is_boundary)(char32_t));
/// Without the characters of `set` (absent: whitespace) at the chosen ends.
MarkedText stripped_text(const MarkedText&, const JinjaValue* set, bool left, bool right);
/// count < 0: all.
MarkedText replaced_text(JinjaRun&, const MarkedText&, const std::string& from, const MarkedText& to, int64_t count);
MarkedText joined_text(JinjaRun&, const MarkedText& separator, const std::vector<JinjaValue>& items);

}  // namespace lancet
