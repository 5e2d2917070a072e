// The values of a template: Python's, as far as Jinja lets a template see them. Nothing of the host program can be
// reached from one: the only objects are macros, the loop variable and the functions of this folder.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <boost/json/value.hpp>

#include "jinja/marked_text.h"

namespace lancet {

class JinjaValue;
class JinjaRun;
struct JinjaList;
struct JinjaDict;
struct JinjaNamespace;

/// How deep values may nest; also how deep printing and comparing go. Keeps recursion, destructors' too, bounded.
inline constexpr int kJinjaMaxValueDepth = 200;

struct JinjaArguments {
  std::vector<JinjaValue> positional;
  std::vector<std::pair<std::string, JinjaValue>> named;
};

/// Something that only has attributes or can be called: loop, macros, functions, bound methods.
struct JinjaObject {
  virtual ~JinjaObject() = default;
  virtual std::string_view type_name() const = 0;
  virtual std::optional<JinjaValue> attribute(std::string_view name) const;  // default: has none
  virtual bool callable() const { return false; }
  virtual JinjaValue call(JinjaRun&, const JinjaArguments&) const;  // default: fails, "is not callable"
};

/// One value. Copying shares lists, dicts and texts, as in Python. A value belongs to one render at a time (lists and
/// dicts are mutable) except texts and scalars, which are immutable and may be shared between threads.
class JinjaValue {
 public:
  enum class Kind { undefined, none, boolean, integer, real, string, list, dict, name_space, object };

  JinjaValue() = default;  // undefined without a hint
  static JinjaValue undefined(std::string hint);
  static JinjaValue none() { return JinjaValue(Storage(std::in_place_index<1>)); }
  static JinjaValue boolean(bool value) { return JinjaValue(Storage(std::in_place_index<2>, value)); }
  static JinjaValue integer(int64_t value) { return JinjaValue(Storage(std::in_place_index<3>, value)); }
  static JinjaValue real(double value) { return JinjaValue(Storage(std::in_place_index<4>, value)); }
  static JinjaValue string(MarkedText text);
  static JinjaValue string(std::string_view text, bool trusted) { return string(MarkedText(text, trusted)); }
  /// Lists and dicts: Error{bad_request} when they would nest deeper than kJinjaMaxValueDepth.
  static JinjaValue list(std::vector<JinjaValue> items, bool tuple = false);
  static JinjaValue dict(std::vector<std::pair<JinjaValue, JinjaValue>> entries);  // keys already unique
  static JinjaValue name_space(std::shared_ptr<JinjaNamespace> value);
  static JinjaValue object(std::shared_ptr<const JinjaObject> value);
  /// JSON data; every text, list and object in it gets the given trust. Numbers beyond 64 signed bits become reals.
  static JinjaValue from_json(const boost::json::value&, bool trusted);

  Kind kind() const { return static_cast<Kind>(storage_.index()); }
  bool is(Kind wanted) const { return kind() == wanted; }
  bool is_undefined() const { return is(Kind::undefined); }
  bool is_none() const { return is(Kind::none); }
  bool is_string() const { return is(Kind::string); }
  bool is_number() const { return is(Kind::integer) || is(Kind::real) || is(Kind::boolean); }
  bool is_integral() const { return is(Kind::integer) || is(Kind::boolean); }

  // Accessors; the kind must fit.
  bool as_bool() const { return std::get<2>(storage_); }
  int64_t as_integer() const { return is(Kind::boolean) ? as_bool() : std::get<3>(storage_); }
  double as_real() const { return is(Kind::real) ? std::get<4>(storage_) : static_cast<double>(as_integer()); }
  const MarkedText& text() const { return *std::get<5>(storage_); }
  const std::string& str() const { return text().str(); }
  const std::shared_ptr<JinjaList>& list_pointer() const { return std::get<6>(storage_); }
  const std::shared_ptr<JinjaDict>& dict_pointer() const { return std::get<7>(storage_); }
  const std::shared_ptr<JinjaNamespace>& name_space_pointer() const { return std::get<8>(storage_); }
  const std::shared_ptr<const JinjaObject>& object_pointer() const { return std::get<9>(storage_); }
  const std::vector<JinjaValue>& items() const;
  const std::vector<std::pair<JinjaValue, JinjaValue>>& entries() const;

  /// Why the value is undefined: "'x' is undefined".
  std::string hint() const;
  int depth() const;
  bool truth() const;
  /// Python's name of the type, for messages: "str", "NoneType".
  std::string_view type_name() const;

 private:
  struct Hint {
    std::shared_ptr<const std::string> text;
  };
  struct None {};
  using Storage =
      std::variant<Hint, None, bool, int64_t, double, std::shared_ptr<const MarkedText>, std::shared_ptr<JinjaList>,
                   std::shared_ptr<JinjaDict>, std::shared_ptr<JinjaNamespace>, std::shared_ptr<const JinjaObject>>;
  explicit JinjaValue(Storage storage) : storage_(std::move(storage)) {}

  Storage storage_;
};

struct JinjaList {
  std::vector<JinjaValue> items;
  bool tuple = false;
  int depth = 1;
  bool trusted = true;  // false: data from outside, even if no text is in it
};

/// Insertion-ordered; keys are scalars. Linear search: the dicts of templates are small, and every search pays its
/// steps.
struct JinjaDict {
  std::vector<std::pair<JinjaValue, JinjaValue>> entries;
  int depth = 1;
  bool trusted = true;  // as a list's

  const JinjaValue* find(std::string_view key) const;
  const JinjaValue* find(const JinjaValue& key) const;
  void set(const JinjaValue& key, JinjaValue value);  // replaces or appends
};

struct JinjaNamespace {
  JinjaDict values;
};

/// A function written in C++, a bound method included.
struct JinjaFunction final : JinjaObject {
  using Body = std::function<JinjaValue(JinjaRun&, const JinjaArguments&)>;
  explicit JinjaFunction(Body function) : body(std::move(function)) {}
  std::string_view type_name() const override { return "function"; }
  bool callable() const override { return true; }
  JinjaValue call(JinjaRun& run, const JinjaArguments& arguments) const override { return body(run, arguments); }
  Body body;
};

inline JinjaValue jinja_function(JinjaFunction::Body body) {
  return JinjaValue::object(std::make_shared<JinjaFunction>(std::move(body)));
}

/// True if a text, list or dict anywhere inside is not trusted; the value must not contain itself deeper than the depth
/// limit.
bool contains_untrusted(const JinjaValue&, int depth = 0);

}  // namespace lancet
