// serve: listens at once, loads the model, serves until SIGINT or SIGTERM, then lets what runs finish.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/doctor_weights.h"
#include "cli/memory_plan.h"
#include "cli/model_flags.h"
#include "cli/progress.h"
#include "cli/serve_flags.h"
#include "cli/stop_signals.h"
#include "cli/supervisor.h"
#include "engine/engine_thread.h"
#include "hub/cache.h"
#include "hub/pull.h"
#include "server/server.h"

namespace lancet {
namespace {

/// What answers call the model: a hub name as it is; of a path its last part, because folders tell strangers who the
/// user is.
std::string public_name(const std::string& model) {
  std::filesystem::path path = std::filesystem::path(model).lexically_normal();
  if (!std::filesystem::exists(path)) return model;
  if (!path.has_filename()) path = path.parent_path();
  return path.filename().string();
}

/// A model with its engine. Members are in the order of dependence.
struct Serving {
  LoadedModel loaded;
  std::optional<Engine> engine;
  std::optional<EngineThread> thread;
};

class Serve : public Command {
 public:
  void declare(Flags& flags) override {
    model_.declare(flags);
    flags.add("--host", server_.host, "address to listen on");
    flags.add("--port", port_, "port to listen on; 0: any free one", 0, 65535);
    flags.add("--ctx", context_,
              "longest prompt and answer together, in tokens; 0: from free memory, 4096 to 32768 or the model's", 0,
              1 << 20);
    flags.add("--parallel", parallel_, "requests that run at once; more wait", 1, 1024);
    flags.add(
        "--cache-tokens", cache_tokens_,
        "tokens that the cache holds for all requests together; 0: --parallel requests at full length, or half of "
        "the free memory",
        0, INT32_MAX);
    flags.add("--alias", alias_, "name of the model in answers");
    flags.choice(
        "--dialect", dialect_,
        "calls in the text of answers, for clients that read nothing else: what a system prompt shows, none, or "
        "one by name",
        {"auto", "none", "scalpel"});
    flags.add(
        "--token-file", token_file_,
        "file with a hub token, for a model that is not in the cache yet; empty: $HF_TOKEN, else the file that hf "
        "login wrote");
    flags.add("--api-key-file", key_file_, "file with the API keys that requests must have, one a line");
    flags.add("--allow-host", server_.access.allow_hosts, "a name that the server answers to; may be repeated");
    flags.add("--allow-origin", server_.access.allow_origins,
              "a page's origin, https://name, that may call the server; may be repeated");
    flags.add("--tls-cert", server_.tls_certificate, "PEM file with the certificate chain: HTTPS instead of HTTP");
    flags.add("--tls-key", server_.tls_key, "PEM file with the certificate's key");
    flags.add("--insecure-public", insecure_public_, "listen on a public address without API keys");
    flags.add("--sleep-after", server_.sleep_after_s,
              "idle seconds after which the model is unloaded, until the next request; 0: never", 0, 1e9);
    operation_.declare(flags, server_);
    flags.example("lancet serve", "the published Ministral 3 3B, fetched if it is not in the cache");
    flags.example("lancet serve -m model.gguf --port 8080", "a GGUF file");
  }

  int run() override {
    if (operation_.apply(server_)) return 0;
    StopSignals signals;  // before any thread starts
    model_.model = model_or_default(model_.model);
    server_.port = static_cast<uint16_t>(port_);
    guard_access();
    pull_if_missing();  // a wrong name is said before a port is taken
    Server server(server_);
    log_info(fmt::format("listening on {}://{}:{}, loading {}", server_.tls_key.empty() ? "http" : "https",
                         server_.host, server.port(), model_.model));
    server.set_progress(0, "opening " + model_.model);
    tell_supervisor("STATUS=loading the model");
    std::string loaded;
    server.serve(load_service(loaded));
    if (server_.sleep_after_s > 0) server.set_loader([this] { return load_again(); });
    signals.count_from_now();
    log_info("ready: " + loaded);
    tell_supervisor("READY=1\nSTATUS=ready: " + loaded);
    while (!signals.wait(1, std::chrono::hours(1))) {}
    return end(server, signals);
  }

 private:
  /// A server that strangers reach has keys, or somebody has said that it need not.
  void guard_access() {
    if (server_.tls_certificate.empty() != server_.tls_key.empty())
      throw Error(Fault::unsupported, "--tls-cert and --tls-key are of use only together");
    if (!key_file_.empty()) server_.access.api_keys = read_api_keys(key_file_);
    if (is_loopback_host(server_.host) || !server_.access.api_keys.empty() || insecure_public_) return;
    throw Error(Fault::unsupported, fmt::format("listening on {}, which others may reach, needs --api-key-file, or "
                                                "--insecure-public if everybody may use this server",
                                                server_.host));
  }

  /// A hub name whose files are not in the cache is fetched, after saying how much that is.
  void pull_if_missing() const {
    const auto name = as_hub_name(model_.model);
    const CacheLookup found = name ? look_up(*name) : CacheLookup();
    if (!name || (!found.model.empty() && missing_weights(found.model).empty())) {
      resolve_model(model_.model);
      return;
    }
    PullMeter meter([](const std::string& line) { log_info(line); }, false);
    pull_model(*name, hub_settings(token_file_), meter.watch());
  }

  /// Lets what runs finish; a second signal, or the end of the patience, ends it with last words. Then nothing is worth
  /// waiting for any more (an engine's step may take long), so the process ends without cleaning up.
  int end(Server& server, StopSignals& signals) {
    log_info(fmt::format("{}: running answers get {:g} s to finish; a second signal ends them",
                         signals.last() == SIGINT ? "SIGINT" : "SIGTERM", server_.limits.drain_s));
    server.drain();
    tell_supervisor("STOPPING=1\nSTATUS=running answers finish");
    const auto patience = std::chrono::duration<double>(server_.limits.drain_s);
    const auto began = std::chrono::steady_clock::now();
    constexpr auto kLook = std::chrono::milliseconds(50);
    while (!server.wait_for_answers(kLook)) {
      if (!signals.wait(2, std::chrono::milliseconds(0)) && std::chrono::steady_clock::now() - began < patience)
        continue;
      log_warning("stopping with answers unfinished");
      server.end_answers(std::chrono::milliseconds(300));
      std::_Exit(0);
    }
    log_info("stopping");
    server.stop();
    return 0;
  }

  /// After the model has slept.
  Service load_again() {
    std::string loaded;
    Service out = load_service(loaded);
    log_info("awake: " + loaded);
    return out;
  }

  /// Loads the model; `loaded` says what it is.
  Service load_service(std::string& loaded) {
    auto serving = std::make_shared<Serving>();
    serving->loaded = load(model_, [&](const Checkpoint& checkpoint, Backend& backend) {
      if (!memory_) memory_ = plan(checkpoint, backend);  // later loads promise what the first one did
      backend.limit_packing(memory_->for_weights());
    });
    warn_of_faults(serving->loaded);
    serving->engine.emplace(*serving->loaded.model, *serving->loaded.tokenizer, engine_options(*memory_));
    serving->thread.emplace(*serving->engine);
    Service out = service(serving->loaded, *serving->thread);
    loaded = fmt::format("{}, {}, context {} tokens", serving->loaded.checkpoint->container(),
                         serving->loaded.backend->description(), serving->thread->context());
    out.owner = std::move(serving);
    return out;
  }

  /// The part of doctor that costs milliseconds.
  static void warn_of_faults(const LoadedModel& loaded) {
    Report report;
    examine_at_load(*loaded.checkpoint, *loaded.tokenizer, report);
    for (const Finding& finding : report.findings())
      if (finding.outcome == Outcome::problem) log_warning(fmt::format("{}; {}", finding.text, finding.advice));
  }

  /// Says where the memory will go, before it is taken. Throws Error{unsupported} if there is not enough.
  MemoryPlan plan(const Checkpoint& checkpoint, const Backend& backend) const {
    const MemoryNeeds needs = memory_needs(checkpoint, backend, EngineOptions().max_batch_rows, parallel_);
    MemoryPlan plan = plan_memory(needs, {.context = context_, .parallel = parallel_}, available_memory());
    if (cache_tokens_ > 0)
      plan.blocks = std::clamp<int64_t>(cache_tokens_ / kBlockTokens, (plan.context + kBlockTokens - 1) / kBlockTokens,
                                        plan.blocks);
    for (const std::string& line : memory_table(plan)) log_info(line);
    require_fit(plan);
    return plan;
  }

  EngineOptions engine_options(const MemoryPlan& plan) const {
    return {.blocks = static_cast<int>(plan.blocks),
            .context = plan.context,
            .max_sequences = parallel_,
            .max_waiting = server_.limits.waiting_requests,
            .max_waiting_tokens = static_cast<int64_t>(server_.limits.waiting_tokens)};
  }

  Service service(LoadedModel& loaded, EngineThread& thread) const {
    return {.engine = &thread,
            .tokenizer = loaded.tokenizer.get(),
            .chat_template = loaded.chat_template.get(),
            .model_name = alias_.empty() ? public_name(loaded.name) : alias_,
            .system_fingerprint = system_fingerprint(loaded),
            .created = created_,
            .kernels = loaded.backend->description(),
            .chat_template_text = std::string(loaded.checkpoint->chat_template()),
            .dialect = dialect_};
  }

  ModelFlags model_;
  ServerOptions server_;
  ServeFlags operation_;
  int port_ = 8111, context_ = 0, parallel_ = 4, cache_tokens_ = 0;
  std::string alias_, key_file_, token_file_, dialect_ = "auto";
  bool insecure_public_ = false;
  std::optional<MemoryPlan> memory_;
  int64_t created_ = static_cast<int64_t>(std::time(nullptr));
};

}  // namespace

std::unique_ptr<Command> make_serve() { return std::make_unique<Serve>(); }

}  // namespace lancet
