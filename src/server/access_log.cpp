// What a request was and what became of it, in one line. Nothing of the body, the query or other headers is in it:
// they may hold prompts and keys.
#include "server/access_log.h"

#include <algorithm>
#include <vector>

#include "base/log.h"
#include "server/routes.h"

namespace lancet {
namespace {

constexpr int kClientLeft = 499;  // nginx's number for it; never on the wire
constexpr size_t kPathBytes = 200;
constexpr std::string_view kNoRoute = "none";
// What monitors ask every second: logged at debug, and a probe's 503 is an answer, not a rejection.
constexpr std::string_view kProbes[] = {"/livez", "/readyz", "/health", "/metrics"};

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_zero(std::string_view text) { return text.find_first_not_of('0') == text.npos; }

}  // namespace

std::optional<std::string_view> valid_traceparent(std::string_view value) {
  constexpr size_t kBytes = 55;  // 2 version, 32 trace id, 16 parent id, 2 flags, 3 dashes
  if (value.size() < kBytes || value.size() > 128) return std::nullopt;
  const std::string_view version = value.substr(0, 2), trace = value.substr(3, 32), parent = value.substr(36, 16);
  const bool dashes = value[2] == '-' && value[35] == '-' && value[52] == '-';
  const bool hex = is_hex(version) && is_hex(trace) && is_hex(parent) && is_hex(value.substr(53, 2));
  if (!dashes || !hex || version == "ff" || is_zero(trace) || is_zero(parent)) return std::nullopt;
  // Later versions may add parts; they are not passed on, since nobody here knows them.
  if (value.size() > kBytes && (version == "00" || value[kBytes] != '-')) return std::nullopt;
  return value.substr(0, kBytes);
}

AccessRecord::AccessRecord(ServerMetrics& metrics) : metrics_(metrics) { metrics_.add_connections(1); }

AccessRecord::~AccessRecord() {
  end(false);
  metrics_.add_connections(-1);
}

void AccessRecord::begin(const HttpRequest* request, std::string_view request_id) {
  if (std::exchange(open_, true)) return;
  metrics_.add_in_flight(1);
  began_ = std::chrono::steady_clock::now();
  request_id_ = request_id;
  method_ = request ? request->method : "";
  path_ = request ? request->path().substr(0, kPathBytes) : "";
  const Route* route = request ? find_route(request->path()) : nullptr;
  route_ = route ? route->path : kNoRoute;
  const auto trace = request ? request->field("traceparent") : std::nullopt;
  traceparent_ = trace ? valid_traceparent(*trace).value_or("") : "";
  status_ = 0;
  facts_ = {};
}

void AccessRecord::answer(HttpResponse& response) {
  status_ = response.status;
  if (facts_.reason.empty()) facts_.reason = response.log_reason;
  if (!traceparent_.empty()) response.fields.emplace_back("traceparent", traceparent_);
}

void AccessRecord::finish(AnswerFacts facts) { facts_ = std::move(facts); }

void AccessRecord::end(bool whole) {
  if (!std::exchange(open_, false)) return;
  metrics_.add_in_flight(-1);
  if (!whole) {
    status_ = kClientLeft;
    if (facts_.reason.empty()) facts_.reason = "client_left";
  }
  const bool probe = std::find(std::begin(kProbes), std::end(kProbes), route_) != std::end(kProbes);
  metrics_.count_response(route_, method_, status_, probe ? "" : facts_.reason);
  const LogLevel level = probe ? LogLevel::debug : status_ == 500 ? LogLevel::warning : LogLevel::info;
  if (!log_enabled(level)) return;
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - began_;
  std::vector<LogField> fields = {{"id", request_id_}, {"method", method_}, {"route", route_}};
  if (route_ == kNoRoute) fields.push_back({"path", path_});
  fields.push_back({"status", int64_t{status_}});
  fields.push_back({"ms", took.count()});
  if (facts_.prompt_tokens >= 0) {
    fields.push_back({"prompt_tokens", int64_t{facts_.prompt_tokens}});
    fields.push_back({"cached_tokens", int64_t{facts_.cached_tokens}});
    fields.push_back({"generated_tokens", int64_t{facts_.generated_tokens}});
  }
  if (!facts_.reason.empty()) fields.push_back({"reason", facts_.reason});
  if (!traceparent_.empty()) fields.push_back({"trace", std::string_view(traceparent_).substr(3, 32)});
  log_event(level, "request", fields);
}

}  // namespace lancet
