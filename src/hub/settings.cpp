#include "hub/settings.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "hub/cache.h"
#include "hub/http.h"

namespace lancet {
namespace fs = std::filesystem;
namespace {

constexpr size_t kTokenBytes = 4096;

/// A token goes into a header: one line of printable ASCII.
std::string checked_token(std::string token, const std::string& source) {
  const auto blank = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
  while (!token.empty() && blank(token.back())) token.pop_back();
  while (!token.empty() && blank(token.front())) token.erase(0, 1);
  const bool fine = token.size() <= kTokenBytes &&
                    std::all_of(token.begin(), token.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (!fine)
    throw Error(Fault::bad_request, fmt::format("{}: holds no token: wanted one word of printable ASCII", source));
  return token;
}

bool is_true(const std::optional<std::string>& value) {
  for (const char* word : {"1", "ON", "YES", "TRUE", "on", "yes", "true"})
    if (value == word) return true;
  return false;
}

void find_token(const std::string& token_file, HubSettings& into) {
  if (!token_file.empty()) {
    into.token = checked_token(read_text_file(token_file, kTokenBytes), token_file);
    into.token_source = token_file;
    if (into.token.empty()) throw Error(Fault::bad_request, fmt::format("{}: is empty, wanted a token", token_file));
    return;
  }
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    const auto token = environment(name);
    if (!token) continue;
    into.token_source = std::string("$") + name;
    into.token = checked_token(*token, into.token_source);
    if (!into.token.empty()) return;
  }
  const fs::path file = environment("HF_TOKEN_PATH") ? fs::path(*environment("HF_TOKEN_PATH")) : hub_home() / "token";
  std::error_code ignored;  // a file that cannot be looked at holds no token
  if (fs::is_regular_file(file, ignored)) into.token = checked_token(read_text_file(file, kTokenBytes), file.string());
  into.token_source = into.token.empty() ? fmt::format("--token-file, $HF_TOKEN and {}", file.string()) : file.string();
}

}  // namespace

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  if (!value || !*value) return std::nullopt;
  return value;
}

HubSettings hub_settings(const std::string& token_file) {
  HubSettings settings;
  if (const auto endpoint = environment("HF_ENDPOINT")) settings.endpoint = *endpoint;
  while (settings.endpoint.ends_with('/')) settings.endpoint.pop_back();
  if (origin_of(settings.endpoint).empty()) {
    throw Error(Fault::bad_request, fmt::format("$HF_ENDPOINT is {}, wanted an address that begins with https:// (or "
                                                "http://)",
                                                lancet::quoted(settings.endpoint)));
  }
  settings.ca_file = environment("SSL_CERT_FILE").value_or("");
  settings.offline = is_true(environment("HF_HUB_OFFLINE"));
  find_token(token_file, settings);
  return settings;
}

}  // namespace lancet
