// What each known field of a request body means to us: one table. The readers take types and bounds from it, the
// document /openapi.json and the table in docs/api.md are printed from it, so none of them can differ from the others.
// A field is used, or harmless, or refused unless it has the value that means nothing. All others are unknown and
// reported to the client.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "server/limits.h"

namespace lancet {

enum class Body : unsigned { chat = 1, completion = 2, embedding = 4, tokenize = 8, detokenize = 16 };

enum class FieldKind { boolean, integer, number, string, other };
enum class FieldUse { used, harmless, refused };

/// A value that asks for nothing, of a field that is refused otherwise.
struct Neutral {
  bool (*holds)(const boost::json::value&);
  std::string_view words;   // "0"
  std::string_view schema;  // JSON Schema of exactly these values and null
};

struct Field {
  std::string_view name;
  unsigned bodies = 0;  // of Body
  FieldKind kind = FieldKind::other;
  FieldUse use = FieldUse::used;
  double low = 0, high = 0;                 // number, integer
  int ServerLimits::*high_limit = nullptr;  // instead of high
  size_t ServerLimits::*most = nullptr;     // elements of a list, members of an object, bytes of a string
  std::string_view schema;                  // kind other: JSON Schema, without null and without `most`
  std::string_view standard;                // the default, as docs say it
  std::string_view meaning;
  const Neutral* neutral = nullptr;  // use refused
  bool required = false;
};

std::span<const Field> fields();

/// Null if the body has no such field.
const Field* find_field(std::string_view name, Body);

/// The bounds of an integer or a number.
double field_high(const Field&, const ServerLimits&);

/// Reads fields with the table's types and bounds. Null is the same as absent. Asking for a field that is not in the
/// table is a CHECK.
class FieldReader {
 public:
  FieldReader(const JsonView& root, Body body, const ServerLimits& limits)
      : root_(root), body_(body), limits_(limits) {}

  const JsonView& root() const { return root_; }
  const ServerLimits& limits() const { return limits_; }
  Body body() const { return body_; }

  bool has(std::string_view name) const { return find(name).has_value(); }
  std::optional<JsonView> find(std::string_view name) const;
  bool flag(std::string_view name, bool otherwise) const;
  std::optional<double> number(std::string_view name) const;
  std::optional<int64_t> integer(std::string_view name) const;
  /// An integer whose bounds fit an int.
  std::optional<int> small_integer(std::string_view name) const;
  std::optional<std::string> string(std::string_view name) const;
  /// An array within the table's bound; nothing if absent.
  std::optional<JsonView> list(std::string_view name) const;

 private:
  const Field& row(std::string_view name) const;

  const JsonView& root_;
  Body body_;
  const ServerLimits& limits_;
};

/// Throws if the view has more elements or members than that.
void check_count(const JsonView&, size_t most);

/// Refuses fields that would change the result and are not supported; returns the names of unknown ones (null or not),
/// in order. With strict_params, in the body or in the limits, unknown ones are refused too.
std::vector<std::string> check_fields(const FieldReader&);

/// The value of a header that lists them: escaped, at most 1 KiB.
std::string ignored_header(const std::vector<std::string>& names);

}  // namespace lancet
