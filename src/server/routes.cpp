// One line per endpoint, and the checks that all share.
#include "server/routes.h"

#include <algorithm>
#include <new>

#include <fmt/format.h>

#include "base/log.h"
#include "server/errors.h"

namespace lancet {
namespace {

constexpr Route kRoutes[] = {
    {"POST", "/v1/chat/completions", handle_chat},
    {"POST", "/v1/completions", handle_completion},
    {"POST", "/v1/embeddings", handle_embeddings},
    {"GET", "/v1/models", handle_models},
    {"GET", "/v1/models/*", handle_model},
    {"GET", "/health", handle_health, true},
    {"GET", "/livez", handle_livez, true},
    {"GET", "/readyz", handle_readyz, true},
    {"GET", "/version", handle_version, true},
    {"GET", "/metrics", handle_metrics, true},
    {"GET", "/props", handle_props},
    {"GET", "/openapi.json", handle_openapi, true},
    {"POST", "/tokenize", handle_tokenize},
    {"POST", "/detokenize", handle_detokenize},
    {"POST", "/apply-template", handle_apply_template},
};

std::string allowed_methods(const Route& route) {
  return route.method == "GET" ? "GET, HEAD, OPTIONS" : fmt::format("{}, OPTIONS", route.method);
}

void check_media_type(const HttpRequest& request) {
  const auto coding = request.field("content-encoding");
  if (coding && !same_word(*coding, "identity"))
    throw ApiError(415, "unsupported_encoding",
                   fmt::format("the body's Content-Encoding is {}, wanted none", quoted(*coding)));
  const auto type = request.field("content-type");
  if (!type) return;
  std::string_view essence = type->substr(0, type->find(';'));
  while (essence.ends_with(' ') || essence.ends_with('\t')) essence.remove_suffix(1);
  // What curl -d says when nobody told it better. A page in a browser can say it too, but never without an Origin.
  const bool plain_curl = same_word(essence, "application/x-www-form-urlencoded") && !request.field("origin");
  if (!essence.empty() && !same_word(essence, "application/json") && !plain_curl)
    throw ApiError(415, "unsupported_media_type",
                   fmt::format("the body's Content-Type is {}, wanted application/json", quoted(*type)));
}

std::optional<HttpResponse> checked_early(const HttpRequest& request, const Access& access) {
  access.check_host(request);
  if (request.method != "OPTIONS") access.check_key(request);
  const auto options_answer = [](std::string allow) {
    return HttpResponse{.status = 204, .fields = {{"Allow", std::move(allow)}}};
  };
  if (request.target == "*") {
    if (request.method == "OPTIONS") return options_answer("GET, HEAD, POST, OPTIONS");
    throw ApiError(400, "", "the target * is for OPTIONS only");
  }
  const Route* route = find_route(request.path());
  if (!route)
    throw ApiError(404, "route_not_found",
                   fmt::format("there is no {}; docs/api.md lists the routes", quoted(request.path())));
  if (request.method == "OPTIONS") return options_answer(allowed_methods(*route));
  if (request.method != route->method && !(request.method == "HEAD" && route->method == "GET")) {
    HttpResponse refusal = error_response(
        ApiError(405, "method_not_allowed",
                 fmt::format("{} does not take {}, wanted {}", route->path, quoted(request.method), route->method)));
    refusal.fields.emplace_back("Allow", allowed_methods(*route));
    return refusal;
  }
  const auto expect = request.field("expect");
  if (expect && !same_word(*expect, "100-continue"))
    throw ApiError(417, "", fmt::format("the Expect header is {}, wanted 100-continue", quoted(*expect)));
  if (route->method == "POST") check_media_type(request);
  return std::nullopt;
}

}  // namespace

std::span<const Route> routes() { return kRoutes; }

const Route* find_route(std::string_view path) {
  for (const Route& route : kRoutes) {
    const std::string_view prefix = route.path.substr(0, route.path.size() - 1);
    if (route.path.ends_with('*') ? path.starts_with(prefix) && path.size() > prefix.size() : path == route.path)
      return &route;
  }
  return nullptr;
}

std::optional<HttpResponse> early_response(const HttpRequest& request, const Access& access) {
  try {
    return checked_early(request, access);
  } catch (const Error& error) {
    HttpResponse response = error_response(error);
    if (response.status == 401) response.fields.emplace_back("WWW-Authenticate", "Bearer");
    return response;
  }
}

const Route& route_of(const HttpRequest& request) { return *find_route(request.path()); }

Answer run_route(const RequestContext& context) {
  try {
    return route_of(context.request).handle(context);
  } catch (const Error& error) {
    return error_response(error);
  } catch (const std::bad_alloc&) {
    return error_response(ApiError(503, "out_of_memory", "there is not enough memory for this request now"));
  } catch (const std::exception& exception) {
    log_error(fmt::format("a handler failed: {}", exception.what()));
    return error_response(Error(Fault::internal, "the server failed while it handled this request"));
  }
}

}  // namespace lancet
