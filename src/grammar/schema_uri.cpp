#include "grammar/schema_uri.h"

namespace lancet {
namespace {

struct UriParts {
  std::optional<std::string_view> scheme, authority, query;
  std::string_view path;
};

bool is_scheme(std::string_view text) {
  if (text.empty()) return false;
  for (size_t i = 0; i < text.size(); i++) {
    const char c = text[i];
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool other = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
    if (!letter && (i == 0 || !other)) return false;
  }
  return true;
}

UriParts split_uri(std::string_view uri) {
  UriParts parts;
  uri = uri.substr(0, uri.find('#'));
  if (const size_t colon = uri.find(':'); colon != uri.npos && is_scheme(uri.substr(0, colon))) {
    parts.scheme = uri.substr(0, colon);
    uri.remove_prefix(colon + 1);
  }
  if (const size_t question = uri.find('?'); question != uri.npos) {
    parts.query = uri.substr(question + 1);
    uri = uri.substr(0, question);
  }
  if (uri.starts_with("//")) {
    const size_t slash = uri.find('/', 2);
    parts.authority = uri.substr(2, slash == uri.npos ? uri.npos : slash - 2);
    uri = slash == uri.npos ? std::string_view() : uri.substr(slash);
  }
  parts.path = uri;
  return parts;
}

/// RFC 3986, 5.2.4.
std::string remove_dot_segments(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    if (path.starts_with("../")) {
      path.remove_prefix(3);
    } else if (path.starts_with("./") || path.starts_with("/./")) {
      path.remove_prefix(2);
    } else if (path == "/.") {
      path = "/";
    } else if (path.starts_with("/../") || path == "/..") {
      path = path == "/.." ? std::string_view("/") : path.substr(3);
      const size_t slash = out.rfind('/');
      out.resize(slash == out.npos ? 0 : slash);
    } else if (path == "." || path == "..") {
      path = {};
    } else {
      const size_t slash = path.find('/', 1);
      out += path.substr(0, slash);
      path = slash == path.npos ? std::string_view() : path.substr(slash);
    }
  }
  return out;
}

std::string merged_path(const UriParts& base, std::string_view path) {
  if (base.authority && base.path.empty()) return "/" + std::string(path);
  const size_t slash = base.path.rfind('/');
  return std::string(base.path.substr(0, slash == base.path.npos ? 0 : slash + 1)) + std::string(path);
}

std::string join_uri(const UriParts& parts, std::string_view path) {
  std::string out;
  if (parts.scheme) out += std::string(*parts.scheme) + ":";
  if (parts.authority) out += "//" + std::string(*parts.authority);
  out += path;
  if (parts.query) out += "?" + std::string(*parts.query);
  return out;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string resolve_uri(std::string_view base_text, std::string_view reference_text) {
  const UriParts base = split_uri(base_text);
  UriParts parts = split_uri(reference_text);
  if (parts.scheme) return join_uri(parts, remove_dot_segments(parts.path));
  parts.scheme = base.scheme;
  if (parts.authority) return join_uri(parts, remove_dot_segments(parts.path));
  parts.authority = base.authority;
  if (parts.path.empty()) {
    if (!parts.query) parts.query = base.query;
    return join_uri(parts, base.path);
  }
  if (parts.path.starts_with('/')) return join_uri(parts, remove_dot_segments(parts.path));
  return join_uri(parts, remove_dot_segments(merged_path(base, parts.path)));
}

std::string_view uri_fragment(std::string_view reference) {
  const size_t hash = reference.find('#');
  return hash == reference.npos ? std::string_view() : reference.substr(hash + 1);
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

std::optional<std::vector<std::string>> split_json_pointer(std::string_view pointer) {
  std::vector<std::string> tokens;
  if (pointer.empty()) return tokens;
  if (pointer[0] != '/') return std::nullopt;
  for (size_t i = 0; i < pointer.size(); i++) {
    if (pointer[i] == '/') {
      tokens.emplace_back();
    } else if (pointer[i] != '~') {
      tokens.back() += pointer[i];
    } else {
      if (++i == pointer.size() || (pointer[i] != '0' && pointer[i] != '1')) return std::nullopt;
      tokens.back() += pointer[i] == '0' ? '~' : '/';
    }
  }
  return tokens;
}

std::string json_pointer_token(std::string_view key) {
  std::string out = "/";
  for (const char c : key) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace lancet
