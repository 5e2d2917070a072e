// GET routes that say what the server is and does: small and quick, they run on the network thread, most of them also
// while there is no model.
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

HttpResponse not_ready(json::object body, std::string code) {
  return {
      .status = 503, .fields = {{"Retry-After", "1"}}, .body = json::serialize(body), .log_reason = std::move(code)};
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
  const ServerStatus& server = *context.server;
  const Service& service = context.service;
  if (server.sleeping && !server.draining)
    return HttpResponse{.body = json::serialize(json::object{{"status", "sleeping"}, {"model", server.model}})};
  if (!service.engine || server.draining)
    return not_ready(
        {{"status", server.draining ? "draining" : "loading"}, {"progress", server.progress}, {"what", server.what}},
        server.draining ? "draining" : "model_loading");
  const EngineStats stats = service.engine->stats();
  const json::object body{{"status", "ok"},
                          {"model", service.model_name},
                          {"version", server.options.version},
                          {"running", stats.running},
                          {"waiting", stats.waiting},
                          {"capacity", stats.max_sequences},
                          {"free_blocks", stats.free_blocks},
                          {"total_blocks", stats.total_blocks},
                          {"step_age_ms", service.engine->step_age().count()}};
  if (!server.problem.empty()) {
    json::object stuck = body;
    stuck["status"] = "stuck";
    return not_ready(std::move(stuck), "engine_stuck");
  }
  return HttpResponse{.body = json::serialize(body)};
}

/// That the network thread lives is told by answering at all.
Answer handle_livez(const RequestContext& context) {
  const std::string& problem = context.server->problem;
  if (!problem.empty()) return not_ready({{"status", "stuck"}, {"what", problem}}, "engine_stuck");
  return HttpResponse{.body = R"({"status":"ok"})"};
}

Answer handle_readyz(const RequestContext& context) {
  const ServerStatus& server = *context.server;
  const auto refuse = [](const char* status, const char* code) { return not_ready({{"status", status}}, code); };
  if (server.draining) return refuse("draining", "draining");
  if (!server.loaded && !server.sleeping) return refuse("loading", "model_loading");
  if (!server.problem.empty()) return refuse("stuck", "engine_stuck");
  return HttpResponse{.body = R"({"status":"ok"})"};
}

Answer handle_version(const RequestContext& context) {
  json::object body{{"version", context.server->options.version}};
  if (!context.server->options.commit.empty()) body["commit"] = context.server->options.commit;
  if (context.service.engine) {
    body["kernels"] = context.service.kernels;
    body["system_fingerprint"] = context.service.system_fingerprint;
  }
  return HttpResponse{.body = json::serialize(body)};
}

/// The shape of llama-server's GET /props, for its clients.
Answer handle_props(const RequestContext& context) {
  const Service& service = context.service;
  const SamplingParams sampling;
  const json::object settings{{"n_ctx", service.engine->context()},
                              {"params",
                               {{"temperature", sampling.temperature},
                                {"top_p", sampling.top_p},
                                {"top_k", sampling.top_k},
                                {"min_p", sampling.min_p},
                                {"n_predict", context.limits.default_chat_tokens},
                                {"stream", false}}}};
  const auto text_of = [&](std::optional<TokenId> id) {
    return id ? std::string(service.tokenizer->bytes(*id)) : std::string();
  };
  const Vocabulary& vocabulary = service.tokenizer->vocabulary();
  return HttpResponse{.body = json::serialize(json::object{{"default_generation_settings", settings},
                                                           {"total_slots", service.engine->stats().max_sequences},
                                                           {"model_path", service.model_name},
                                                           {"model_alias", service.model_name},
                                                           {"n_ctx", service.engine->context()},
                                                           {"modalities", {{"vision", false}, {"audio", false}}},
                                                           {"chat_template", service.chat_template_text},
                                                           {"bos_token", text_of(vocabulary.bos)},
                                                           {"eos_token", text_of(vocabulary.eos)},
                                                           {"build_info", service.system_fingerprint}})};
}

Answer handle_metrics(const RequestContext& context) {
  const ServerStatus& server = *context.server;
  const Service& service = context.service;
  return HttpResponse{
      .content_type = std::string(kMetricsContentType),
      .body = metrics_text({.engine = service.engine ? service.engine->stats() : EngineStats{},
                            .grammars = service.grammars ? service.grammars->counts() : Grammars::Counts{},
                            .server = server.metrics,
                            .version = server.options.version,
                            .kernels = service.kernels,
                            .model = server.model,
                            .vllm_names = server.options.vllm_metrics})};
}

}  // namespace lancet
