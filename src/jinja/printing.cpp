// Values as text: str(), repr(), json.dumps() and the % operator. See operators.h.
#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "base/utf8.h"
#include "jinja/operators.h"

namespace lancet {
namespace {

using Kind = JinjaValue::Kind;

/// Text under construction whose growth is paid for.
class Writer {
 public:
  explicit Writer(JinjaRun& run) : run_(run) {}

  void put(std::string_view text) {
    out_ += text;
    if (out_.size() >= paid_) {
      run_.charge_text(out_.size());
      paid_ = out_.size() * 2 + 1024;
    }
  }
  void deeper(int depth) {
    run_.step();
    if (depth > kJinjaMaxValueDepth) run_.fail("this value nests too deep to be printed (does it contain itself?)");
  }
  MarkedText marked(const JinjaValue& value) const { return MarkedText(out_, !contains_untrusted(value)); }

 protected:
  JinjaRun& run_;
  std::string out_;

 private:
  size_t paid_ = 1024;
};

/// Python's repr().
class ReprWriter : public Writer {
 public:
  using Writer::Writer;

  void write(const JinjaValue& value, int depth) {
    deeper(depth);
    switch (value.kind()) {
      case Kind::undefined: return put("Undefined");
      case Kind::none: return put("None");
      case Kind::boolean: return put(value.as_bool() ? "True" : "False");
      case Kind::integer: return put(std::to_string(value.as_integer()));
      case Kind::real: return put(python_float(value.as_real()));
      case Kind::string: return text(value.str());
      case Kind::list: return list(value, depth);
      case Kind::dict: return dict(value, depth);
      case Kind::name_space: return put("<Namespace>");
      case Kind::object: return put(fmt::format("<{}>", value.type_name()));
    }
  }

 private:
  void list(const JinjaValue& value, int depth) {
    const bool tuple = value.list_pointer()->tuple;
    put(tuple ? "(" : "[");
    for (size_t i = 0; i < value.items().size(); i++) {
      if (i > 0) put(", ");
      write(value.items()[i], depth + 1);
    }
    if (tuple && value.items().size() == 1) put(",");
    put(tuple ? ")" : "]");
  }

  void dict(const JinjaValue& value, int depth) {
    put("{");
    bool first = true;
    for (const auto& [key, item] : value.entries()) {
      if (!first) put(", ");
      first = false;
      write(key, depth + 1);
      put(": ");
      write(item, depth + 1);
    }
    put("}");
  }

  void text(std::string_view text) {
    const bool has_single = text.find('\'') != std::string_view::npos;
    const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
    std::string out(1, quote);
    for (size_t at = 0; at < text.size();) {
      const Utf8Step step = utf8_next(text.substr(at));
      const char32_t c = step.valid ? step.code_point : 0xfffd;
      if (c == '\n')
        out += "\\n";
      else if (c == '\r')
        out += "\\r";
      else if (c == '\t')
        out += "\\t";
      else if (c == '\\' || c == static_cast<char32_t>(quote))
        out += {'\\', static_cast<char>(c)};
      else if (c < 0x20 || (c >= 0x7f && c < 0xa1) || c == 0xad)
        out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
      else
        out += text.substr(at, step.length);
      at += step.length;
    }
    put(out + quote);
  }
};

/// Python's json.dumps().
class JsonWriter : public Writer {
 public:
  JsonWriter(JinjaRun& run, const JsonStyle& style) : Writer(run), style_(style) {}

  void write(const JinjaValue& value, int depth) {
    deeper(depth);
    switch (value.kind()) {
      case Kind::none: return put("null");
      case Kind::boolean: return put(value.as_bool() ? "true" : "false");
      case Kind::integer: return put(std::to_string(value.as_integer()));
      case Kind::real: return number(value.as_real());
      case Kind::string: return text(value.str());
      case Kind::list: return list(value, depth);
      case Kind::dict: return dict(value, depth);
      default: run_.fail(fmt::format("Object of type {} is not JSON serializable", value.type_name()));
    }
  }

 private:
  void line(int depth) {
    if (!style_.indent) return;
    put("\n");
    for (int i = 0; i < depth; i++) put(*style_.indent);
  }

  void number(double value) {
    if (std::isnan(value)) return put("NaN");
    if (std::isinf(value)) return put(value < 0 ? "-Infinity" : "Infinity");
    put(python_float(value));
  }

  void list(const JinjaValue& value, int depth) {
    if (value.items().empty()) return put("[]");
    put("[");
    for (size_t i = 0; i < value.items().size(); i++) {
      if (i > 0) put(style_.item_separator);
      line(depth + 1);
      write(value.items()[i], depth + 1);
    }
    line(depth);
    put("]");
  }

  void dict(const JinjaValue& value, int depth) {
    if (value.entries().empty()) return put("{}");
    std::vector<std::pair<JinjaValue, JinjaValue>> entries = value.entries();
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(),
                       [&](const auto& a, const auto& b) { return jinja_compare(run_, a.first, b.first) < 0; });
    }
    put("{");
    bool first = true;
    for (const auto& [key, item] : entries) {
      if (!first) put(style_.item_separator);
      first = false;
      line(depth + 1);
      name(key);
      put(style_.key_separator);
      write(item, depth + 1);
    }
    line(depth);
    put("}");
  }

  void name(const JinjaValue& key) {
    if (key.is_string()) return text(key.str());
    if (!key.is_number() && !key.is_none()) run_.fail("keys must be str, int, float, bool or None");
    put("\"");
    write(key, 0);
    put("\"");
  }

  void text(std::string_view text) {
    std::string out = "\"";
    for (size_t at = 0; at < text.size();) {
      const Utf8Step step = utf8_next(text.substr(at));
      character(out, step, text.substr(at, step.length));
      at += step.length;
    }
    put(out + "\"");
  }

  void character(std::string& out, const Utf8Step& step, std::string_view written) const {
    constexpr std::string_view kEscaped = "\"\\\n\r\t\f\b", kLetters = "\"\\nrtfb";
    const char32_t c = step.valid ? step.code_point : 0xfffd;
    const size_t known = c < 0x80 ? kEscaped.find(static_cast<char>(c)) : std::string_view::npos;
    if (known != std::string_view::npos) {
      out += {'\\', kLetters[known]};
    } else if (c < 0x20 || (style_.ensure_ascii && c >= 0x7f && c < 0x10000)) {
      out += c == 0x7f ? "\x7f" : fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    } else if (style_.ensure_ascii && c >= 0x10000) {
      const auto rest = static_cast<uint32_t>(c) - 0x10000;
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + (rest >> 10), 0xdc00 + (rest & 0x3ff));
    } else {
      out += written;
    }
  }

  const JsonStyle& style_;
};

/// The number behind one % conversion.
std::string percent_number(JinjaRun& run, char conversion, const JinjaValue& value, int precision) {
  if (!value.is_number())
    run.fail(fmt::format("%{} format: a number is required, not {}", conversion, value.type_name()));
  if (conversion == 'f') return fmt::format("{:.{}f}", value.as_real(), precision < 0 ? 6 : precision);
  if (value.is_integral()) {
    return conversion == 'x' ? fmt::format("{:x}", value.as_integer()) : std::to_string(value.as_integer());
  }
  const double whole = std::trunc(value.as_real());
  if (conversion == 'x' || !(std::fabs(whole) < 9e18)) run.fail("%d format: this number has no 64-bit integer");
  return std::to_string(static_cast<int64_t>(whole));
}

}  // namespace

std::string python_float(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific).ptr;
  const std::string_view written(buffer, static_cast<size_t>(end - buffer));
  const int exponent = std::stoi(std::string(written.substr(written.find('e') + 1)));
  if (exponent < -4 || exponent >= 16) return std::string(written);
  const auto fixed_end = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed).ptr;
  std::string text(buffer, fixed_end);
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

MarkedText jinja_text(JinjaRun& run, const JinjaValue& value) {
  if (value.is_string()) return value.text();
  if (value.is_undefined()) return {};
  ReprWriter writer(run);
  writer.write(value, 0);
  return writer.marked(value);
}

MarkedText jinja_json(JinjaRun& run, const JinjaValue& value, const JsonStyle& style) {
  JsonWriter writer(run, style);
  writer.write(value, 0);
  return writer.marked(value);
}

JinjaValue percent_format(JinjaRun& run, const JinjaValue& format, const JinjaValue& values) {
  const bool many = values.is(Kind::list) && values.list_pointer()->tuple;
  const std::vector<JinjaValue> arguments = many ? values.items() : std::vector<JinjaValue>{values};
  const std::string& text = format.str();
  MarkedText result;
  size_t used = 0, begin = 0;
  for (size_t at = text.find('%'); at != std::string::npos; at = text.find('%', begin)) {
    run.step();
    result.append_slice(format.text(), begin, at);
    size_t i = at + 1;
    int precision = -1;
    if (i + 1 < text.size() && text[i] == '.' && text[i + 1] >= '0' && text[i + 1] <= '9') {
      precision = text[i + 1] - '0';
      i += 2;
    }
    const char conversion = i < text.size() ? text[i] : '\0';
    begin = i + 1;
    if (conversion == '%') {
      result.append_slice(format.text(), i, i + 1);
      continue;
    }
    if (std::string_view("sdifxr").find(conversion) == std::string_view::npos || conversion == '\0')
      run.fail("unsupported format of the % operator");
    if (used >= arguments.size()) run.fail("not enough arguments for format string");
    const JinjaValue& value = arguments[used++];
    if (conversion == 's') {
      result.append(jinja_text(run, value));
    } else if (conversion == 'r') {
      ReprWriter writer(run);
      writer.write(value, 0);
      result.append(writer.marked(value));
    } else {
      result.append(percent_number(run, conversion == 'i' ? 'd' : conversion, value, precision), true);
    }
    run.charge_text(result.size());
  }
  if (used < arguments.size() && !(values.is(Kind::dict) && used == 0))
    run.fail("not all arguments converted during string formatting");
  if (begin < text.size()) result.append_slice(format.text(), begin, text.size());
  return JinjaValue::string(std::move(result));
}

}  // namespace lancet
