// Redirects are followed here and not by libcurl: each hop is a request of its own, so what goes to whom is plain to
// see.
#include "hub/http.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <ctime>
#include <exception>
#include <thread>
#include <tuple>

#include <curl/curl.h>
#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "base/random.h"

namespace lancet {
namespace {

constexpr int kRedirects = 5;
constexpr size_t kHeaderBytes = 64 << 10, kErrorBodyBytes = 64 << 10;
constexpr uint64_t kProgressBytes = 1 << 20;  // what an attempt must gain to count as progress
constexpr double kFirstPause_s = 0.4, kLongestPause_s = 20, kLongestRetryAfter_s = 300;
constexpr long kConnect_s = 20, kSlowest = 1024;  // bytes a second

struct UrlFree {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, UrlFree>;

Url parse_url(const std::string& text) {
  Url url(curl_url());
  CHECK(url);
  if (curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) return nullptr;
  return url;
}

std::string part_of(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return {};
  std::string out(text);
  curl_free(text);
  return out;
}

std::string host_of(const std::string& url) {
  const Url parsed = parse_url(url);
  return parsed ? part_of(parsed.get(), CURLUPART_HOST) : std::string();
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "[::1]" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos);
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// What libcurl's result means, in words; whether another attempt may do better.
std::pair<std::string, bool> explained(CURLcode code, const std::string& url, const char* detail) {
  const std::string host = host_of(url), why = *detail ? detail : curl_easy_strerror(code);
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return {fmt::format("the name {} could not be looked up (no network?)", host), true};
    case CURLE_COULDNT_RESOLVE_PROXY: return {fmt::format("the proxy could not be looked up ({})", why), true};
    case CURLE_COULDNT_CONNECT: return {fmt::format("no connection to {} ({})", host, why), true};
    case CURLE_OPERATION_TIMEDOUT:
      return {fmt::format("{} does not answer, or sends less than 1 kB/s ({})", host, why), true};
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return {
          fmt::format("{} has a certificate that this computer does not trust for that name ({}); a proxy that reads "
                      "along, or a wrong clock?",
                      host, why),
          false};
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return {fmt::format("an address at {} cannot be fetched ({})", host, why), false};
    default: return {fmt::format("the transfer from {} broke off ({})", host, why), true};
  }
}

void initialise_curl() {
  static const CURLcode done = curl_global_init(CURL_GLOBAL_DEFAULT);
  CHECK(done == CURLE_OK);
}

}  // namespace

struct HttpClient::Handle {
  CURL* easy = nullptr;
  Random random{static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()) ^
                static_cast<uint64_t>(getpid())};
  Handle() {
    initialise_curl();
    easy = curl_easy_init();
    CHECK(easy);
  }
  ~Handle() { curl_easy_cleanup(easy); }
};

/// The state of one hop, as libcurl's callbacks see it. An exception waits in `thrown` while libcurl unwinds.
struct HttpClient::Transfer {
  HubResponse response;
  BodySink& sink;
  bool ours;  // the endpoint itself answers
  size_t header_bytes = 0, error_bytes = 0;
  bool begun = false, stopped = false;
  std::exception_ptr thrown;

  bool has_body() const { return response.status == 200 || response.status == 206; }

  void begin() {
    if (begun || !has_body()) return;
    begun = true;
    stopped = !sink.begin(response);
  }

  static size_t on_header(char* data, size_t size, size_t count, void* user) {
    auto& self = *static_cast<Transfer*>(user);
    self.header_bytes += size * count;
    if (self.header_bytes > kHeaderBytes) return 0;
    const std::string_view line(data, size * count);
    read_header_line(line, self.response);
    if (self.ours) read_hub_header(line, self.response);
    return size * count;
  }

  static size_t on_body(char* data, size_t size, size_t count, void* user) {
    auto& self = *static_cast<Transfer*>(user);
    try {
      self.begin();
      if (self.stopped) return 0;
      if (self.has_body()) {
        self.sink.take(std::as_bytes(std::span(data, size * count)));
      } else if ((self.error_bytes += size * count) > kErrorBodyBytes) {
        return 0;
      }
      return size * count;
    } catch (...) {
      self.thrown = std::current_exception();  // rethrown by hop(): it may not pass through C
      return 0;
    }
  }
};

HttpClient::HttpClient(const HubSettings& settings, Note note)
    : settings_(settings), note_(std::move(note)), handle_(std::make_unique<Handle>()) {}

HttpClient::~HttpClient() = default;

HttpClient::Outcome HttpClient::hop(const std::string& url, uint64_t from, const HubResponse& known, BodySink& sink) {
  Transfer transfer{.response = {.url = url, .headers = {}, .commit = known.commit, .linked_etag = known.linked_etag},
                    .sink = sink,
                    .ours = origin_of(url) == origin_of(settings_.endpoint),
                    .thrown = nullptr};
  char detail[CURL_ERROR_SIZE] = "";
  CURL* easy = handle_->easy;
  curl_easy_reset(easy);  // keeps connections
  const std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(
      curl_slist_append(nullptr, "Accept-Encoding: identity"), curl_slist_free_all);
  const auto set = [&](CURLoption option, auto value) { CHECK(curl_easy_setopt(easy, option, value) == CURLE_OK); };
  const std::string range = fmt::format("{}-", from);
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_ERRORBUFFER, detail);
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_USERAGENT, "lancet");
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(CURLOPT_BUFFERSIZE, 512L << 10);
  set(CURLOPT_CONNECTTIMEOUT, kConnect_s);
  set(CURLOPT_LOW_SPEED_LIMIT, kSlowest);
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(settings_.stall_s));
  set(CURLOPT_HEADERFUNCTION, Transfer::on_header);
  set(CURLOPT_HEADERDATA, &transfer);
  set(CURLOPT_WRITEFUNCTION, Transfer::on_body);
  set(CURLOPT_WRITEDATA, &transfer);
  if (!settings_.ca_file.empty()) set(CURLOPT_CAINFO, settings_.ca_file.c_str());
  if (from > 0) set(CURLOPT_RANGE, range.c_str());
  if (!settings_.token.empty() && may_have_token(url, settings_)) {
    set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BEARER));
    set(CURLOPT_XOAUTH2_BEARER, settings_.token.c_str());
  }
  const CURLcode code = curl_easy_perform(easy);
  if (!transfer.thrown && code == CURLE_OK) transfer.begin();  // an answer without a body
  if (transfer.thrown) std::rethrow_exception(transfer.thrown);
  Outcome out{.response = std::move(transfer.response), .trouble = {}, .wait_s = {}};
  if (transfer.stopped || (code == CURLE_WRITE_ERROR && transfer.error_bytes > kErrorBodyBytes)) return out;
  if (code != CURLE_OK) std::tie(out.trouble, out.passing) = explained(code, url, detail);
  return out;
}

std::string HttpClient::redirect_target(const std::string& from, const HubResponse& response) const {
  const Url url = parse_url(from);
  const std::string location(response.header("location"));
  if (!url || location.empty() || curl_url_set(url.get(), CURLUPART_URL, location.c_str(), 0) != CURLUE_OK) {
    throw Error(Fault::unavailable,
                fmt::format("{} redirects to {}, which is no address", host_of(from), lancet::quoted(location)));
  }
  const std::string scheme = part_of(url.get(), CURLUPART_SCHEME),
                    was = part_of(parse_url(from).get(), CURLUPART_SCHEME);
  if (scheme != "https" && !(scheme == "http" && was == "http")) {
    throw Error(Fault::unavailable, fmt::format("{} redirects from {} to {}://{}: refused", host_of(from), was, scheme,
                                                part_of(url.get(), CURLUPART_HOST)));
  }
  return part_of(url.get(), CURLUPART_URL);
}

HttpClient::Outcome HttpClient::attempt(const std::string& url, BodySink& sink) {
  const uint64_t from = sink.resume_at();
  std::string at = url;
  HubResponse known;  // what the hub said on the way stays known at the end, where a store of files answers
  for (int hops = 0; hops <= kRedirects; hops++) {
    Outcome out = hop(at, from, known, sink);
    if (!out.trouble.empty() || !is_redirect(out.response.status)) return out;
    at = redirect_target(at, out.response);
    known = std::move(out.response);
  }
  throw Error(Fault::unavailable, fmt::format("{} redirects more than {} times", host_of(url), kRedirects));
}

double HttpClient::pause(const Outcome& outcome, int failures) {
  if (outcome.wait_s) return *outcome.wait_s;
  const double longest =
      std::min(kLongestPause_s, kFirstPause_s * static_cast<double>(1u << std::min(failures - 1, 20)));
  return longest * (0.5 + 0.5 * handle_->random.uniform());  // many clients of one broken hub do not come back together
}

HubResponse HttpClient::get(const std::string& url, const std::string& what, BodySink& sink) {
  uint64_t reached = sink.resume_at();
  for (int failures = 0;;) {
    Outcome outcome = attempt(url, sink);
    const int status = outcome.response.status;
    if (outcome.trouble.empty() && (status == 408 || status == 429 || status >= 500)) {
      outcome.trouble = status == 429 ? "the hub says that it is asked too often (HTTP 429)"
                                      : fmt::format("{} answers with HTTP {}", host_of(outcome.response.url), status);
      outcome.passing = true;
      outcome.wait_s = parse_retry_after(outcome.response.header("retry-after"), std::time(nullptr));
    }
    if (outcome.trouble.empty() && (status == 200 || status == 206)) {
      if (const auto missing = sink.missing()) outcome.trouble = *missing, outcome.passing = true;
    }
    if (outcome.trouble.empty()) return std::move(outcome.response);
    const uint64_t now_at = sink.resume_at();
    failures = now_at >= reached + kProgressBytes ? 1 : failures + 1;
    reached = std::max(reached, now_at);
    if (outcome.wait_s && *outcome.wait_s > kLongestRetryAfter_s) {
      throw Error(Fault::unavailable, fmt::format("{}: {} and wants to be left alone for {:.0f} s", what,
                                                  outcome.trouble, *outcome.wait_s));
    }
    if (!outcome.passing || failures >= settings_.attempts) {
      throw Error(Fault::unavailable, fmt::format("{}: {}{}", what, outcome.trouble,
                                                  failures > 1 ? fmt::format(", {} times in a row", failures) : ""));
    }
    const double wait_s = pause(outcome, failures);
    note_(fmt::format("{}: {}; trying again in {:.1f} s", what, outcome.trouble, wait_s));
    std::this_thread::sleep_for(std::chrono::duration<double>(wait_s));
  }
}

bool may_have_token(const std::string& url, const HubSettings& settings) {
  const std::string origin = origin_of(url);
  return origin == origin_of(settings.endpoint) && (origin.starts_with("https:") || is_loopback(host_of(url)));
}

std::string url_escaped(std::string_view text, bool slashes) {
  std::string out;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' || c == '~';
    if (plain || (slashes && c == '/'))
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string origin_of(const std::string& url) {
  const Url parsed = parse_url(url);
  if (!parsed) return {};
  const std::string scheme = part_of(parsed.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return {};
  std::string host = part_of(parsed.get(), CURLUPART_HOST);
  for (char& c : host) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return fmt::format("{}://{}:{}", scheme, host, part_of(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT));
}

}  // namespace lancet
