// The glue between Boost.JSON and us: parsing under limits with duplicate keys refused, and typed access whose errors
// name the place. Requests and model files go through the same two doors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/json/value.hpp>

#include "base/budget.h"
#include "base/error.h"

namespace lancet {

struct JsonLimits {
  size_t depth = 32;
  size_t nodes = 200'000;         // values and keys
  Fault fault = Fault::bad_file;  // what a violation is thrown as
};

/// Parses one JSON document (RFC 8259, UTF-8, no extensions). Duplicate keys are refused. Integers that fit 64 bits
/// stay integers. Throws Error{limits.fault}: `source` and the byte offset are in the message. Spends one budget step
/// a node.
boost::json::value parse_json(std::string_view text, const std::string& source, const JsonLimits&, Budget&);

/// A value together with where it stands, so that every complaint can say it: "config.json: text_config.head_dim is
/// "x", wanted an integer from 1 to 1024". Does not own the value.
class JsonView {
 public:
  JsonView(const boost::json::value& value, std::string source, Fault fault)
      : value_(&value), source_(std::move(source)), fault_(fault) {}

  const boost::json::value& value() const { return *value_; }
  const std::string& path() const { return path_; }
  bool is_null() const { return value_->is_null(); }

  /// The member, or nothing if it is absent or null. Error if this is no object.
  std::optional<JsonView> find(std::string_view key) const;
  /// The member, or an Error that names it.
  JsonView at(std::string_view key) const;
  JsonView element(size_t index) const;  // index < size()
  size_t size() const;                   // Error if this is no array

  /// An integer in [low, high]; integral floats count (16384.0).
  int64_t integer(int64_t low, int64_t high) const;
  /// A finite number in [low, high].
  double number(double low, double high) const;
  bool boolean() const;
  std::string_view string() const;
  const boost::json::array& array() const;
  const boost::json::object& object() const;

  /// Throws: "<source>: <path> is <value>, wanted <wanted>"; the path is the Error's param.
  [[noreturn]] void fail(std::string_view wanted) const;

 private:
  JsonView(const boost::json::value& value, const JsonView& parent, std::string path)
      : value_(&value), source_(parent.source_), path_(std::move(path)), fault_(parent.fault_) {}

  const boost::json::value* value_;
  std::string source_;
  std::string path_;
  Fault fault_;
};

}  // namespace lancet
