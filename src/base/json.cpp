#include "base/json.h"

#include <charconv>
#include <cmath>
#include <unordered_set>
#include <vector>

#include <fmt/format.h>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_stack.hpp>

namespace lancet {
namespace json = boost::json;
namespace {

/// Events of Boost's parser -> a value, counting nodes. With `refuse_repeats` it also remembers the keys of open
/// objects and refuses one that its object has already; that costs three times the parsing, so see parse_json.
struct Handler {
  static constexpr size_t max_object_size = SIZE_MAX;
  static constexpr size_t max_array_size = SIZE_MAX;
  static constexpr size_t max_key_size = SIZE_MAX;
  static constexpr size_t max_string_size = SIZE_MAX;

  json::value_stack stack;
  Budget& budget;
  size_t nodes_left;
  bool refuse_repeats;
  size_t key_count = 0;
  std::vector<std::unordered_set<std::string>> keys;  // of the objects now open
  size_t depth = 0;
  std::string partial;  // a key or string that the parser hands over in pieces
  std::string complaint;

  Handler(Budget& b, size_t nodes, bool repeats) : budget(b), nodes_left(nodes), refuse_repeats(repeats) {}

  bool node(json::error_code& ec) {
    budget.step();
    if (nodes_left == 0) return refuse("has too many values", ec);
    nodes_left--;
    return true;
  }
  bool refuse(std::string why, json::error_code& ec) {
    complaint = std::move(why);
    ec = json::error::exception;
    return false;
  }
  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code& ec) {
    if (refuse_repeats) {
      keys.resize(depth);
      keys.emplace_back();  // a new set: clearing one that was large would cost its size again for each sibling
    }
    depth++;
    return node(ec);
  }
  bool on_object_end(size_t count, json::error_code&) {
    depth--;
    stack.push_object(count);
    return true;
  }
  bool on_array_begin(json::error_code& ec) { return node(ec); }
  bool on_array_end(size_t count, json::error_code&) {
    stack.push_array(count);
    return true;
  }
  bool on_key_part(json::string_view part, size_t, json::error_code&) {
    if (refuse_repeats) partial += part;
    stack.push_chars(part);
    return true;
  }
  bool on_key(json::string_view part, size_t, json::error_code& ec) {
    if (refuse_repeats) {
      partial += part;
      if (!keys[depth - 1].insert(partial).second) return refuse("repeats the key " + quoted(partial), ec);
      partial.clear();
    }
    key_count++;
    stack.push_key(part);
    return node(ec);
  }
  bool on_string_part(json::string_view part, size_t, json::error_code&) {
    stack.push_chars(part);
    return true;
  }
  bool on_string(json::string_view part, size_t, json::error_code& ec) {
    stack.push_string(part);
    return node(ec);
  }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(int64_t value, json::string_view, json::error_code& ec) {
    stack.push_int64(value);
    return node(ec);
  }
  bool on_uint64(uint64_t value, json::string_view, json::error_code& ec) {
    stack.push_uint64(value);
    return node(ec);
  }
  bool on_double(double value, json::string_view text, json::error_code& ec) {
    // Boost.JSON's own value may be off in the last place; from_chars rounds correctly.
    double exact = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), exact);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    stack.push_double(whole ? exact : value);
    return node(ec);
  }
  bool on_bool(bool value, json::error_code& ec) {
    stack.push_bool(value);
    return node(ec);
  }
  bool on_null(json::error_code& ec) {
    stack.push_null();
    return node(ec);
  }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }
};

/// The keys of all objects inside. The depth is bounded by the parser's.
size_t count_keys(const json::value& value) {
  size_t count = 0;
  if (const auto* object = value.if_object()) {
    for (const auto& member : *object) count += 1 + count_keys(member.value());
  } else if (const auto* array = value.if_array()) {
    for (const json::value& element : *array) count += count_keys(element);
  }
  return count;
}

std::string shown(const json::value& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  if (const auto* text = value.if_string()) return quoted(std::string_view(text->data(), text->size()));
  if (const auto* number = value.if_double()) return fmt::format("{}", *number);  // serialize would write 5E-1
  return json::serialize(value);
}

/// One pass of the parser. Nothing: the document is well-formed but some object had a key twice.
std::optional<json::value> parse_once(std::string_view text, const std::string& source, const JsonLimits& limits,
                                      Budget& budget, bool refuse_repeats) {
  json::parse_options options;
  options.max_depth = limits.depth;
  json::basic_parser<Handler> parser(options, budget, limits.nodes, refuse_repeats);
  json::error_code ec;
  parser.handler().stack.reset();
  const size_t used = parser.write_some(false, text.data(), text.size(), ec);
  size_t rest = used;
  while (!ec && rest < text.size() && std::string_view(" \t\r\n").find(text[rest]) != std::string_view::npos) rest++;
  if (!ec && parser.done() && rest == text.size()) {
    json::value value = parser.handler().stack.release();
    if (count_keys(value) != parser.handler().key_count) return std::nullopt;
    return value;
  }
  const std::string& complaint = parser.handler().complaint;
  const std::string why = !complaint.empty() ? complaint
                          : ec               ? "is not valid JSON: " + ec.message()
                                             : std::string("has more text after its end");
  throw Error(limits.fault, fmt::format("{}: at byte {}: {}", source, rest, why));
}

}  // namespace

json::value parse_json(std::string_view text, const std::string& source, const JsonLimits& limits, Budget& budget) {
  // Boost keeps the last of equal keys, so a document without repetitions is one whose keys are all still there. Only
  // then is it parsed again, slowly, to name the key.
  if (auto value = parse_once(text, source, limits, budget, false)) return *std::move(value);
  if (auto value = parse_once(text, source, limits, budget, true)) return *std::move(value);
  throw Error(limits.fault, source + ": repeats a key");
}

std::optional<JsonView> JsonView::find(std::string_view key) const {
  const json::value* member = object().if_contains({key.data(), key.size()});
  if (!member || member->is_null()) return std::nullopt;
  return JsonView(*member, *this, path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key));
}

JsonView JsonView::at(std::string_view key) const {
  if (auto member = find(key)) return *member;
  const std::string path = path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
  throw Error(fault_, fmt::format("{}: {} is missing", source_, path), path);
}

JsonView JsonView::element(size_t index) const {
  return JsonView(array().at(index), *this, fmt::format("{}[{}]", path_, index));
}

size_t JsonView::size() const { return array().size(); }

int64_t JsonView::integer(int64_t low, int64_t high) const {
  std::optional<int64_t> found;
  if (const auto* i = value_->if_int64()) found = *i;
  if (const auto* d = value_->if_double(); d && std::trunc(*d) == *d && std::abs(*d) < 0x1p53) {
    found = static_cast<int64_t>(*d);
  }
  if (!found || *found < low || *found > high) fail(fmt::format("an integer from {} to {}", low, high));
  return *found;
}

double JsonView::number(double low, double high) const {
  if (!value_->is_number()) fail(fmt::format("a number from {} to {}", low, high));
  const double found = value_->to_number<double>();
  if (!(found >= low && found <= high)) fail(fmt::format("a number from {} to {}", low, high));
  return found;
}

bool JsonView::boolean() const {
  if (!value_->is_bool()) fail("true or false");
  return value_->get_bool();
}

std::string_view JsonView::string() const {
  if (!value_->is_string()) fail("a string");
  const json::string& text = value_->get_string();
  return {text.data(), text.size()};
}

const json::array& JsonView::array() const {
  if (!value_->is_array()) fail("an array");
  return value_->get_array();
}

const json::object& JsonView::object() const {
  if (!value_->is_object()) fail("an object");
  return value_->get_object();
}

void JsonView::fail(std::string_view wanted) const {
  throw Error(
      fault_,
      fmt::format("{}: {} is {}, wanted {}", source_, path_.empty() ? "the document" : path_, shown(*value_), wanted),
      path_);
}

}  // namespace lancet
