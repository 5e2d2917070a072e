// Fault -> status, type, code: one table.
#include "server/errors.h"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace lancet {
namespace json = boost::json;
namespace {

struct Shape {
  int status;
  std::string_view code;  // empty: null
};

Shape shape_of(Fault fault) {
  switch (fault) {
    case Fault::bad_request: return {400, ""};
    case Fault::context_overflow: return {400, "context_length_exceeded"};
    case Fault::too_large: return {413, "too_large"};
    case Fault::not_found: return {404, "not_found"};
    case Fault::busy: return {429, "queue_full"};
    case Fault::unavailable: return {503, "draining"};
    case Fault::timeout: return {503, "queue_timeout"};
    case Fault::unsupported: return {400, "unsupported_value"};
    case Fault::budget: return {400, "budget_exceeded"};  // deterministic: the same request fails again
    case Fault::cancelled: return {503, "cancelled"};
    case Fault::bad_file:
    case Fault::io:
    case Fault::internal: return {500, "internal_error"};
  }
  return {500, "internal_error"};
}

std::string_view type_of(int status) {
  switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 408:
    case 429: return "rate_limit_error";
    default: return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

struct Described {
  int status;
  json::value object;
};

Described describe(const Error& error) {
  const auto* api = dynamic_cast<const ApiError*>(&error);
  const Shape shape = shape_of(error.fault());
  const int status = api ? api->status() : shape.status;
  const std::string_view code = api ? std::string_view(api->code()) : shape.code;
  json::object inner;
  inner["message"] = error.message();
  inner["type"] = type_of(status);
  inner["param"] = error.param().empty() ? json::value(nullptr) : json::value(error.param());
  inner["code"] = code.empty() ? json::value(nullptr) : json::value(code);
  json::object outer;
  outer["error"] = std::move(inner);
  return {status, std::move(outer)};
}

}  // namespace

std::string code_of(const Error& error) {
  const auto* api = dynamic_cast<const ApiError*>(&error);
  return api ? api->code() : std::string(shape_of(error.fault()).code);
}

HttpResponse error_response(const Error& error) {
  const Described described = describe(error);
  HttpResponse response{.status = described.status, .body = json::serialize(described.object)};
  response.log_reason = code_of(error);
  if (response.status == 429 || response.status == 503) response.fields.emplace_back("Retry-After", "1");
  return response;
}

std::string error_json(const Error& error) { return json::serialize(describe(error).object); }

}  // namespace lancet
