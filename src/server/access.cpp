// Keys are compared at a fixed length, all of them, without leaving early: the time says nothing about how much of a
// guess was right.
#include "server/access.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/log.h"
#include "server/errors.h"

namespace lancet {
namespace {

constexpr size_t kMostKeyFileBytes = 1024 * 1024;
constexpr std::string_view kOpenPaths[] = {"/livez", "/readyz", "/health"};

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

}  // namespace

std::vector<std::string> read_api_keys(const std::string& path) {
  std::ifstream file(path);
  struct stat facts = {};
  if (!file || ::stat(path.c_str(), &facts) != 0)
    throw Error(Fault::io, fmt::format("cannot read the API keys in {}", quoted(path)));
  if (facts.st_mode & S_IROTH)
    log_warning(fmt::format("everybody on this machine can read the API keys in {}; chmod 600 it", quoted(path)));
  std::vector<std::string> keys;
  std::string line;
  size_t number = 0, bytes = 0;
  while (std::getline(file, line)) {
    number++;
    bytes += line.size() + 1;
    if (bytes > kMostKeyFileBytes)
      throw Error(Fault::bad_file, fmt::format("{} is larger than the {} bytes that a file of API keys may have",
                                               quoted(path), kMostKeyFileBytes));
    const std::string_view key = trimmed(line);
    if (key.empty() || key.starts_with('#')) continue;
    if (key.size() > 512 || !is_printable(key))  // the key itself is not shown: logs are read by others
      throw Error(Fault::bad_file,
                  fmt::format("{}, line {}: an API key has 1 to 512 printable ASCII characters", quoted(path), number));
    keys.emplace_back(key);
  }
  if (keys.empty()) throw Error(Fault::bad_file, fmt::format("there is no API key in {}", quoted(path)));
  return keys;
}

Access::Access(AccessOptions options, std::string bind_host)
    : options_(std::move(options)),
      bind_host_(std::move(bind_host)),
      checks_host_(is_loopback_host(bind_host_) || !options_.allow_hosts.empty()) {
  for (const std::string& key : options_.api_keys) keys_.push_back(padded(key));
}

bool Access::is_our_host(std::string_view authority) const {
  const auto host = host_of_authority(authority);
  if (!host) return false;
  const auto& names = options_.allow_hosts;
  return is_loopback_host(*host) || same_word(*host, bind_host_) ||
         std::any_of(names.begin(), names.end(), [&](const std::string& name) { return same_word(*host, name); });
}

bool Access::is_allowed_origin(std::string_view origin) const {
  const auto& allowed = options_.allow_origins;
  return std::any_of(allowed.begin(), allowed.end(),
                     [&](const std::string& one) { return one == "*" || same_word(one, origin); });
}

void Access::check_host(const HttpRequest& request) const {
  const auto host = request.field("host");
  if (host && !host_of_authority(*host))
    throw ApiError(400, "invalid_host", fmt::format("the Host header is {}, wanted a host name", quoted(*host)));
  if (host && checks_host_ && !is_our_host(*host))
    throw ApiError(403, "host_not_allowed",
                   fmt::format("this server listens on {} and does not answer as {}; --allow-host adds a name",
                               bind_host_, quoted(*host)));
  const auto origin = request.field("origin");
  if (!origin || request.method != "POST" || is_allowed_origin(*origin)) return;
  const size_t scheme = origin->find("://");
  const std::string_view authority = scheme == std::string_view::npos ? std::string_view() : origin->substr(scheme + 3);
  const bool own = checks_host_ ? is_our_host(authority) : host && !authority.empty() && same_word(authority, *host);
  if (!own)
    throw ApiError(
        403, "origin_not_allowed",
        fmt::format("this server takes no requests from pages of {}; --allow-origin allows one", quoted(*origin)));
}

std::optional<std::string_view> Access::sent_key(const HttpRequest& request) {
  constexpr std::string_view kScheme = "bearer ";
  const auto authorization = request.field("authorization");
  if (authorization && authorization->size() > kScheme.size() &&
      same_word(authorization->substr(0, kScheme.size()), kScheme))
    return trimmed(authorization->substr(kScheme.size()));
  return request.field("x-api-key");
}

/// A longer text than a key can be gets a length that no key has.
Access::PaddedKey Access::padded(std::string_view key) {
  PaddedKey out = {};
  const size_t length = std::min(key.size(), kKeyBytes + 1);
  std::copy_n(key.begin(), std::min(length, kKeyBytes), out.begin());
  out[kKeyBytes] = static_cast<unsigned char>(length & 0xff);
  out[kKeyBytes + 1] = static_cast<unsigned char>(length >> 8);
  return out;
}

void Access::check_key(const HttpRequest& request) const {
  if (keys_.empty()) return;
  if (std::find(std::begin(kOpenPaths), std::end(kOpenPaths), request.path()) != std::end(kOpenPaths)) return;
  const auto sent = sent_key(request);
  const PaddedKey guess = padded(sent.value_or(""));
  unsigned matches = 0;
  for (const PaddedKey& key : keys_) {
    // volatile: a compiler that sees the first difference must not be able to stop there.
    volatile unsigned char difference = 0;
    for (size_t i = 0; i < key.size(); i++) difference = difference | (key[i] ^ guess[i]);
    matches += difference == 0;
  }
  if (matches == 0)
    throw ApiError(401, "invalid_api_key",
                   sent ? "the API key is none of this server's"
                        : "this server wants an API key, as Authorization: Bearer or x-api-key");
}

uint64_t Access::owner(const HttpRequest& request, uint64_t address) const {
  const auto key = keys_.empty() ? std::nullopt : sent_key(request);
  return key ? hash64(std::as_bytes(std::span(*key))) : address;
}

void Access::add_cors(const HttpRequest& request, HttpResponse& response) const {
  if (options_.allow_origins.empty()) return;
  response.fields.emplace_back("Vary", "Origin");
  const auto origin = request.field("origin");
  if (!origin || !is_allowed_origin(*origin)) return;
  response.fields.emplace_back("Access-Control-Allow-Origin", *origin);
  response.fields.emplace_back("Access-Control-Expose-Headers", "x-request-id, Retry-After");
  if (request.method != "OPTIONS" || !request.field("access-control-request-method")) return;
  response.fields.emplace_back("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS");
  response.fields.emplace_back("Access-Control-Allow-Headers", "authorization, content-type, x-api-key, x-request-id");
  response.fields.emplace_back("Access-Control-Max-Age", "600");
}

}  // namespace lancet
