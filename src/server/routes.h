// The list of endpoints, and everything that is decided before one of them runs.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "server/answer.h"

namespace lancet {

using Handler = Answer (*)(const RequestContext&);

struct Route {
  std::string_view method;  // GET also answers HEAD
  std::string_view path;    // ending in '*': everything that begins so
  Handler handle;
  bool before_ready = false;  // answered on the network thread whatever the server is doing
};

std::span<const Route> routes();

/// The route that has this path, or null.
const Route* find_route(std::string_view path);

// The handlers, by the file that has them.
Answer handle_chat(const RequestContext&);            // generation_routes.cpp
Answer handle_completion(const RequestContext&);      // generation_routes.cpp
Answer handle_embeddings(const RequestContext&);      // embeddings.cpp
Answer handle_openapi(const RequestContext&);         // openapi.cpp
Answer handle_apply_template(const RequestContext&);  // text_routes.cpp
Answer handle_tokenize(const RequestContext&);        // text_routes.cpp
Answer handle_detokenize(const RequestContext&);      // text_routes.cpp
Answer handle_models(const RequestContext&);          // info_routes.cpp
Answer handle_model(const RequestContext&);           // info_routes.cpp
Answer handle_health(const RequestContext&);          // info_routes.cpp
Answer handle_livez(const RequestContext&);           // info_routes.cpp
Answer handle_readyz(const RequestContext&);          // info_routes.cpp
Answer handle_version(const RequestContext&);         // info_routes.cpp
Answer handle_props(const RequestContext&);           // info_routes.cpp
Answer handle_metrics(const RequestContext&);         // info_routes.cpp

/// Decided from the header alone, before the body is read: the refusal (host, origin, key, route, method, media type,
/// coding, expectation) or the answer to OPTIONS; nothing if the request may go on.
std::optional<HttpResponse> early_response(const HttpRequest&, const Access&);

/// The route of a request that early_response() let pass.
const Route& route_of(const HttpRequest&);

/// Runs the route's handler; every exception becomes an error response.
Answer run_route(const RequestContext&);

}  // namespace lancet
