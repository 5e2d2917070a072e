#include "hub/http_headers.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include <curl/curl.h>

namespace lancet {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
}

/// Name in lower case and value; nothing for a line that is no header.
std::optional<std::pair<std::string, std::string>> split_header(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  std::string name(line.substr(0, colon));
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return std::pair{std::move(name), std::string(trimmed(line.substr(colon + 1)))};
}

/// A whole text of decimal digits.
std::optional<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

bool HubResponse::is_html() const { return header("content-type").starts_with("text/html"); }

std::string_view HubResponse::header(const std::string& name) const {
  const auto at = headers.find(name);
  return at == headers.end() ? std::string_view() : std::string_view(at->second);
}

void read_header_line(std::string_view line, HubResponse& into) {
  line = trimmed(line);
  if (line.starts_with("HTTP/")) {
    into.headers.clear();
    const size_t space = line.find(' ');
    const auto status = space == std::string_view::npos ? std::nullopt : parse_number(line.substr(space + 1, 3));
    into.status = status && *status < 1000 ? static_cast<int>(*status) : 0;
    return;
  }
  if (auto header = split_header(line)) into.headers[std::move(header->first)] = std::move(header->second);
}

void read_hub_header(std::string_view line, HubResponse& into) {
  const auto header = split_header(line);
  if (header && header->first == "x-repo-commit") into.commit = header->second;
  if (header && header->first == "x-linked-etag") into.linked_etag = normalised_etag(header->second);
}

std::optional<ContentRange> parse_content_range(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  text = trimmed(text);
  if (!text.starts_with(kUnit)) return std::nullopt;
  text = trimmed(text.substr(kUnit.size()));
  const size_t dash = text.find('-'), slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || slash < dash) return std::nullopt;
  const auto first = parse_number(text.substr(0, dash)), last = parse_number(text.substr(dash + 1, slash - dash - 1));
  const std::string_view total = text.substr(slash + 1);
  ContentRange range;
  if (total != "*" && !(range.total = parse_number(total))) return std::nullopt;
  if (!first || !last || *first > *last || (range.total && *last >= *range.total)) return std::nullopt;
  range.first = *first, range.last = *last;
  return range;
}

std::optional<double> parse_retry_after(std::string_view text, int64_t now) {
  text = trimmed(text);
  if (const auto seconds = parse_number(text)) return static_cast<double>(*seconds);
  const time_t when = curl_getdate(std::string(text).c_str(), nullptr);
  if (text.empty() || when < 0) return std::nullopt;
  return static_cast<double>(std::max<int64_t>(0, when - now));
}

std::string normalised_etag(std::string_view text) {
  text = trimmed(text);
  if (text.starts_with("W/")) text.remove_prefix(2);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  return std::string(text);
}

}  // namespace lancet
