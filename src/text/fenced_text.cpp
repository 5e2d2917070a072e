// The client's search in linear time: where a block ends depends only on where its brace is, so ends are looked for
// once, from front to back.
#include "text/fenced_text.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "base/utf8.h"

namespace lancet {
namespace json = boost::json;
namespace {

constexpr std::string_view kTicks = "```", kQuoted = "jsonc";

/// White space as the client's expression has it: Unicode's.
bool is_space(char32_t c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/// What a client's parser takes, which refuses less than ours: of equal keys the last counts.
json::value parsed(std::string_view text) {
  json::parse_options options;
  options.max_depth = 128;
  boost::system::error_code failed;
  json::value value = json::parse(text, failed, {}, options);
  return failed ? json::value() : value;
}

const json::value* first_of(const json::object& object, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names)
    if (const json::value* value = object.if_contains(name)) return value;
  return nullptr;
}

/// A place where the client's expression matches.
struct Block {
  size_t label = 0, label_end = 0;  // of the opening fence
  size_t brace = 0;
  bool ends = false;
  size_t close = 0;  // behind the last '}'
  size_t end = 0;    // behind the closing fence
};

class Search {
 public:
  explicit Search(std::string_view text) : text_(text) {}

  /// The first match that begins at or after `from`, also if nothing ends it.
  std::optional<Block> next(size_t from) {
    for (size_t at = text_.find(kTicks, from); at != std::string_view::npos; at = text_.find(kTicks, at + 1)) {
      Block block{.label = at + kTicks.size()};
      block.label_end = block.label;
      for (const std::string_view label : {"tool", "json"})
        if (text_.substr(block.label).starts_with(label)) block.label_end = block.label + label.size();
      block.brace = skip_space(block.label_end);
      if (block.brace >= text_.size() || text_[block.brace] != '{') continue;
      block.ends = find_end(block);
      return block;
    }
    return std::nullopt;
  }

 private:
  size_t skip_space(size_t at) const {
    while (at < text_.size()) {
      const Utf8Step step = utf8_next(text_.substr(at));
      if (!is_space(step.code_point)) break;
      at += step.length;
    }
    return at;
  }
  size_t skip_space_back(size_t at) const {
    while (at > 0) {
      size_t begin = at - 1;
      while (begin > 0 && at - begin < 3 && (static_cast<unsigned char>(text_[begin]) & 0xc0) == 0x80) begin--;
      const Utf8Step step = utf8_next(text_.substr(begin, at - begin));
      if (!is_space(step.code_point) || begin + step.length != at) break;
      at = begin;
    }
    return at;
  }

  /// The first '}' behind the brace that only white space parts from three backticks.
  bool find_end(Block& block) {
    while (end_ != std::string_view::npos && (close_ <= block.brace + 1)) {
      end_ = text_.find(kTicks, std::max(end_, block.brace + 1));
      if (end_ == std::string_view::npos) return false;
      close_ = skip_space_back(end_);
      const bool ends = close_ > 0 && text_[close_ - 1] == '}';
      end_ += ends ? kTicks.size() : 1;
      if (!ends) close_ = 0;
    }
    if (end_ == std::string_view::npos) return false;
    block.close = close_;
    block.end = end_;
    return true;
  }

  std::string_view text_;
  size_t close_ = 0, end_ = 0;  // of the end that was found last
};

}  // namespace

std::optional<FencedCall> read_fenced_call(std::string_view text) {
  const json::value value = parsed(text);
  const json::object* object = value.if_object();
  if (!object) return std::nullopt;
  const json::value* name = first_of(*object, {"name", "tool", "tool_name"});
  if (!name || !name->is_string()) return std::nullopt;
  const json::value* params = first_of(*object, {"params", "parameters", "arguments"});
  return FencedCall{std::string(name->get_string()), params ? json::serialize(*params) : "{}"};
}

std::string write_fenced_call(const FencedCall& call) {
  const json::value arguments = parsed(call.arguments);
  const std::string params = arguments.is_null() ? call.arguments : json::serialize(arguments);
  const std::string text = "{\"name\":" + json::serialize(json::value(call.name)) + ",\"params\":" + params + "}";
  std::string out = "```tool\n";
  for (const char c : text) {
    if (c == '`')
      out += "\\u0060";  // a backtick can only be inside of a string
    else
      out += c;
  }
  return out + "\n```";
}

std::string quote_fenced_calls(std::string_view text, bool call_follows, int& changed) {
  std::string out;
  size_t done = 0, from = 0;
  Search search(text);
  while (const auto block = search.next(from)) {
    const bool executed = block->ends
                              ? read_fenced_call(text.substr(block->brace, block->close - block->brace)).has_value()
                              : call_follows;
    from = executed || !block->ends ? block->label_end : block->end;
    if (!executed) continue;
    out += text.substr(done, block->label - done);
    out += kQuoted;
    done = block->label_end;
    changed++;
  }
  out += text.substr(done);
  const size_t begin = out.find_first_not_of(" \t\r\n");
  if (begin != std::string::npos && out[begin] == '{' && read_fenced_call(out)) {
    changed++;
    out = "```jsonc\n" + out + "\n```";
  }
  return out;
}

}  // namespace lancet
