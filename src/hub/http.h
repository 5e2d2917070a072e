// HTTP as a hub is asked: GET over libcurl with redirects followed by hand, so that the token goes to the endpoint's
// own origin and nowhere else, retries for what may pass, and a sentence for what may not.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "hub/http_headers.h"
#include "hub/settings.h"

namespace lancet {

/// Takes a body, perhaps in several attempts.
class BodySink {
 public:
  virtual ~BodySink() = default;
  /// Called before each attempt: the first byte that is wanted.
  virtual uint64_t resume_at() = 0;
  /// A 200 or 206 is about to send its body. False ends the transfer here; throws Error to refuse the answer.
  virtual bool begin(const HubResponse&) = 0;
  virtual void take(std::span<const std::byte> bytes) = 0;
  /// After the answer ended without a fault: what is missing, in words, or nothing.
  virtual std::optional<std::string> missing() = 0;
};

/// One connection, kept open between requests. One thread.
class HttpClient {
 public:
  using Note = std::function<void(const std::string&)>;

  /// `note` is told before each wait for another attempt.
  HttpClient(const HubSettings& settings, Note note);
  ~HttpClient();

  /// Fetches `url` into the sink; `what` names it in messages. The result has status 200 or 206 and a complete body (or
  /// the sink stopped it), or another status that trying again would not change. Throws Error{unavailable} if the hub
  /// cannot be reached or keeps failing.
  HubResponse get(const std::string& url, const std::string& what, BodySink& sink);

  const HubSettings& settings() const { return settings_; }

 private:
  struct Transfer;
  struct Handle;
  /// What one attempt came to.
  struct Outcome {
    HubResponse response;
    std::string trouble;   // empty: none
    bool passing = false;  // another attempt may do better
    std::optional<double> wait_s;
  };
  Outcome attempt(const std::string& url, BodySink& sink);
  Outcome hop(const std::string& url, uint64_t from, const HubResponse& known, BodySink& sink);
  std::string redirect_target(const std::string& from, const HubResponse&) const;
  double pause(const Outcome&, int failures);

  HubSettings settings_;
  Note note_;
  std::unique_ptr<Handle> handle_;
};

/// True if a request to `url` may carry the token: it is of the endpoint's own origin, over HTTPS or to this computer.
bool may_have_token(const std::string& url, const HubSettings&);

/// A text for use inside a path of a URL: everything but letters, digits and "-._~" is escaped; '/' too, unless
/// `slashes`.
std::string url_escaped(std::string_view text, bool slashes);

/// "https://host:port" of an address, in lower case and with the port that the scheme implies; empty if it is none.
std::string origin_of(const std::string& url);

}  // namespace lancet
