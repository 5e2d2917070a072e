#include "cli/json_text.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <boost/json/parse.hpp>

namespace lancet {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_punctuation(char c) { return std::string_view("{}[],:").find(c) != std::string_view::npos; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// One token after the other of well-formed JSON: punctuation, a string with its quotes, a number or a word.
class Tokens {
 public:
  explicit Tokens(std::string_view json) : json_(json) { skip(); }
  bool at_end() const { return at_ == json_.size(); }
  size_t at() const { return at_; }
  char peek() const { return json_[at_]; }

  std::string_view next() {
    const size_t start = at_;
    if (is_punctuation(json_[at_])) {
      at_++;
    } else if (json_[at_] == '"') {
      for (at_++; json_[at_] != '"'; at_++)
        if (json_[at_] == '\\') at_++;
      at_++;
    } else {
      while (!at_end() && !is_punctuation(json_[at_]) && !is_space(json_[at_])) at_++;
    }
    const std::string_view token = json_.substr(start, at_ - start);
    skip();
    return token;
  }

  /// The text of the value that begins here; steps over it.
  std::string_view value() {
    const size_t start = at_;
    size_t end = at_;
    int depth = 0;
    do {
      const std::string_view token = next();
      if (token == "{" || token == "[") depth++;
      if (token == "}" || token == "]") depth--;
      end = static_cast<size_t>(token.data() - json_.data()) + token.size();
    } while (depth > 0);
    return json_.substr(start, end - start);
  }

 private:
  void skip() {
    while (!at_end() && is_space(json_[at_])) at_++;
  }

  std::string_view json_;
  size_t at_ = 0;
};

std::string string_value(std::string_view token) { return std::string(boost::json::parse(token).as_string()); }

void write_string(std::string& out, std::string_view text) {
  constexpr std::string_view kShort = "\"\\\b\f\n\r\t", kLetters = "\"\\bfnrt";
  out += '"';
  for (const char c : text) {
    const size_t known = kShort.find(c);
    if (known != std::string_view::npos)
      out += {'\\', kLetters[known]};
    else if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    else
      out += c;
  }
  out += '"';
}

/// The same number without exponent: its digits, with the point moved.
std::string plain_number(std::string_view token) {
  constexpr int kLongest = 400;
  const size_t mark = token.find_first_of("eE");
  if (mark == std::string_view::npos) return std::string(token);
  std::string_view power = token.substr(mark + 1);
  if (power.starts_with('+')) power.remove_prefix(1);
  int exponent = 0;
  const auto parsed = std::from_chars(power.data(), power.data() + power.size(), exponent);
  if (parsed.ec != std::errc() || std::abs(exponent) > kLongest || mark > kLongest) return std::string(token);
  const bool negative = token[0] == '-';
  std::string digits;
  int point = 0;  // digits before the point
  bool fraction = false;
  for (const char c : token.substr(negative, mark - negative)) {
    if (c == '.')
      fraction = true;
    else
      digits += c, point += !fraction;
  }
  point += exponent;
  if (point <= 0) digits.insert(0, static_cast<size_t>(1 - point), '0'), point = 1;
  const auto whole = static_cast<size_t>(point);
  if (digits.size() < whole) digits.append(whole - digits.size(), '0');
  const size_t first = std::min(digits.find_first_not_of('0'), whole - 1);
  std::string text = (negative ? "-" : "") + digits.substr(first, whole - first);
  if (digits.size() > whole) text += "." + digits.substr(whole);
  return text;
}

}  // namespace

std::string canonical_json(std::string_view json) {
  std::string out;
  for (Tokens tokens(json); !tokens.at_end();) {
    const std::string_view token = tokens.next();
    if (token == ",")
      out += ", ";
    else if (token == ":")
      out += ": ";
    else if (token[0] == '"')
      write_string(out, string_value(token));
    else if (token[0] == '-' || is_digit(token[0]))
      out += plain_number(token);
    else
      out += token;
  }
  return out;
}

std::string_view json_member(std::string_view object, std::string_view key) {
  Tokens tokens(object);
  if (tokens.next() != "{") return {};
  while (tokens.peek() != '}') {
    const bool wanted = string_value(tokens.next()) == key;
    tokens.next();  // the colon
    const std::string_view value = tokens.value();
    if (wanted) return value;
    if (tokens.peek() == ',') tokens.next();
  }
  return {};
}

std::vector<std::string_view> json_elements(std::string_view array) {
  std::vector<std::string_view> elements;
  Tokens tokens(array);
  if (tokens.next() != "[") return elements;
  while (tokens.peek() != ']') {
    elements.push_back(tokens.value());
    if (tokens.peek() == ',') tokens.next();
  }
  return elements;
}

}  // namespace lancet
