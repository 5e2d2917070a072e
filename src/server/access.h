// Who may ask: API keys, the names that the server answers to, and the pages that may talk to it. Decided from the
// header alone.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/http.h"

namespace lancet {

struct AccessOptions {
  std::vector<std::string> api_keys;       // empty: everybody may ask
  std::vector<std::string> allow_hosts;    // names besides the loopback ones and the one bound to
  std::vector<std::string> allow_origins;  // "https://app.example", or "*": pages that get CORS headers
};

/// One key a line, 1 to 512 printable ASCII characters; empty lines and lines that begin with # are skipped. Error for
/// a file without keys; a warning in the log if others on this machine can read it.
std::vector<std::string> read_api_keys(const std::string& path);

/// All functions: any thread.
class Access {
 public:
  /// `bind_host` is what the server listens on.
  Access(AccessOptions, std::string bind_host);

  /// Throws ApiError: 400 or 403 for a host or an origin that is not ours.
  ///
  /// The Host check defends programs on this machine against pages in its browser: a page whose name was rebound to
  /// 127.0.0.1 still says that name. It applies on loopback addresses and wherever allow_hosts is given. A POST's
  /// Origin must be the server's own, or allowed, everywhere.
  void check_host(const HttpRequest&) const;

  /// Throws ApiError 401 unless the request has a key ("Authorization: Bearer KEY" or "x-api-key: KEY"), no keys are
  /// set, or the path is one that probes ask. The time taken does not depend on the keys or on what was sent, but for
  /// its length.
  void check_key(const HttpRequest&) const;

  /// For fair shares: a hash of the request's key if keys are set, else `address`.
  uint64_t owner(const HttpRequest&, uint64_t address) const;

  /// Adds what the request's page needs in order to read the answer; nothing unless its origin is allowed.
  void add_cors(const HttpRequest&, HttpResponse&) const;

 private:
  static constexpr size_t kKeyBytes = 512;
  using PaddedKey = std::array<unsigned char, kKeyBytes + 2>;  // zeros, then the length

  static std::optional<std::string_view> sent_key(const HttpRequest&);
  static PaddedKey padded(std::string_view key);
  bool is_our_host(std::string_view authority) const;
  bool is_allowed_origin(std::string_view origin) const;

  const AccessOptions options_;
  const std::string bind_host_;
  const bool checks_host_;
  std::vector<PaddedKey> keys_;
};

}  // namespace lancet
