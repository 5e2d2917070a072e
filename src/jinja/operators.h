// What operators, indexing and printing mean for values: Python's rules, as far as Jinja relies on them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "jinja/ast.h"
#include "jinja/run.h"
#include "jinja/value.h"

namespace lancet {

/// == of everything but lists and dicts. Texts compare by their characters, marks ignored; 1 == 1.0 == true.
bool jinja_scalar_equal(const JinjaValue&, const JinjaValue&);
/// ==.
bool jinja_equal(JinjaRun&, const JinjaValue&, const JinjaValue&, int depth = 0);
/// <0, 0, >0; fails for types that Python does not order.
int jinja_compare(JinjaRun&, const JinjaValue&, const JinjaValue&, int depth = 0);
JinjaValue jinja_binary(JinjaRun&, JinjaOperator, const JinjaValue&, const JinjaValue&);
JinjaValue jinja_negate(JinjaRun&, const JinjaValue&);
/// left in right.
bool jinja_contains(JinjaRun&, const JinjaValue& item, const JinjaValue& container);

/// object.name: methods first, then members. Fails if object is undefined; otherwise absence is an undefined value.
JinjaValue jinja_attribute(JinjaRun&, const JinjaValue& object, const std::string& name);
/// object[key]: members first, then methods.
JinjaValue jinja_index(JinjaRun&, const JinjaValue& object, const JinjaValue& key);
/// object[start:stop:step]; none stands for an absent bound.
JinjaValue jinja_slice(JinjaRun&, const JinjaValue& object, const JinjaValue (&bounds)[3]);
/// "a.b.0" as sort, map and selectattr read it.
JinjaValue jinja_path(JinjaRun&, const JinjaValue& object, const std::string& path);

/// The elements: of a list, characters of a text, keys of a dict; nothing of undefined. Fails for the rest.
std::vector<JinjaValue> jinja_elements(JinjaRun&, const JinjaValue&);
/// len().
int64_t jinja_length(JinjaRun&, const JinjaValue&);
/// The bytes where each character starts, and the size.
std::vector<size_t> character_offsets(std::string_view text);

/// str(): what {{ value }} prints. A list or dict with untrusted text inside is untrusted as a whole.
MarkedText jinja_text(JinjaRun&, const JinjaValue&);

struct JsonStyle {
  std::optional<std::string> indent;  // absent: one line
  std::string item_separator = ", ", key_separator = ": ";
  bool ensure_ascii = false;
  bool sort_keys = false;
};
/// json.dumps(). Untrusted as a whole if any text inside is: a trust border is a token border, and cutting JSON at
/// every quote would change its tokens.
MarkedText jinja_json(JinjaRun&, const JinjaValue&, const JsonStyle&);

/// repr(float): shortest digits that read back, exponent outside [1e-4, 1e16).
std::string python_float(double value);
/// "..." % values.
JinjaValue percent_format(JinjaRun&, const JinjaValue& format, const JinjaValue& values);

}  // namespace lancet
