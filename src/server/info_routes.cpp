// GET /v1/models, /v1/models/{id}, /health: small and quick, they run on the network thread.
#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "server/errors.h"
#include "server/routes.h"

namespace lancet {
namespace json = boost::json;
namespace {

json::object model_object(const Service& service) {
  return {{"id", service.model_name},
          {"object", "model"},
          {"created", service.created},
          {"owned_by", "lancet"},
          {"max_model_len", service.engine->context()}};
}

}  // namespace

Answer handle_models(const RequestContext& context) {
  json::object list{{"object", "list"}, {"data", json::array{model_object(context.service)}}};
  return HttpResponse{.body = json::serialize(list)};
}

Answer handle_model(const RequestContext& context) {
  constexpr std::string_view kPrefix = "/v1/models/";
  const auto id = percent_decoded(context.request.path().substr(kPrefix.size()));
  if (!id || *id != context.service.model_name)
    throw ApiError(404, "model_not_found",
                   fmt::format("there is no model {}; this server has {}", quoted(id.value_or("")),
                               quoted(context.service.model_name)),
                   "model");
  return HttpResponse{.body = json::serialize(model_object(context.service))};
}

Answer handle_health(const RequestContext& context) {
  const EngineStats stats = context.service.engine->stats();
  return HttpResponse{.body = json::serialize(json::object{{"status", "ok"},
                                                           {"model", context.service.model_name},
                                                           {"running", stats.running},
                                                           {"waiting", stats.waiting},
                                                           {"free_blocks", stats.free_blocks},
                                                           {"total_blocks", stats.total_blocks}})};
}

}  // namespace lancet
