// serve: listens at once, loads the model, serves until SIGINT or SIGTERM.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <thread>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "base/sizes.h"
#include "cli/command.h"
#include "cli/model_flags.h"
#include "engine/engine_thread.h"
#include "hub/cache.h"
#include "server/server.h"

namespace lancet {
namespace {

constexpr std::string_view kDefaultModel = "mistralai/Ministral-3-3B-Instruct-2512";

/// Bytes that new allocations may use without swapping; 0 if the system does not say.
uint64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  uint64_t kib = 0;
  while (file >> word)
    if (word == "MemAvailable:" && file >> kib) return kib * 1024;
  return 0;
}

/// What answers call the model: a hub name as it is; of a path its last part, because folders tell strangers who the
/// user is.
std::string public_name(const std::string& model) {
  std::filesystem::path path = std::filesystem::path(model).lexically_normal();
  if (!std::filesystem::exists(path)) return model;
  if (!path.has_filename()) path = path.parent_path();
  return path.filename().string();
}

/// Blocks SIGINT and SIGTERM in this thread and all that it starts, so that wait() alone receives them.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  }
  int wait() const {
    int number = 0;
    sigwait(&set_, &number);
    return number;
  }

 private:
  sigset_t set_ = {};
};

class Serve : public Command {
 public:
  void declare(Flags& flags) override {
    model_.declare(flags);
    flags.add("--host", server_.host, "address to listen on");
    flags.add("--port", port_, "port to listen on; 0: any free one", 0, 65535);
    flags.add("--ctx", context_, "longest prompt and answer together, in tokens", 16, 1 << 20);
    flags.add("--parallel", parallel_, "requests that run at once; more wait", 1, 256);
    flags.add("--alias", alias_, "name of the model in answers");
    flags.example("lancet serve", "the published Ministral 3 3B from the Hugging Face cache");
    flags.example("lancet serve -m model.gguf --port 8080", "a GGUF file");
  }

  int run() override {
    const StopSignals signals;  // before any thread starts
    if (model_.model.empty()) {
      const char* named = std::getenv("LANCET_MODEL");
      model_.model = named && *named ? std::string(named) : std::string(kDefaultModel);
    }
    server_.port = static_cast<uint16_t>(port_);
    const std::string resolved = resolve_model(model_.model);  // a wrong name is said before a port is taken
    Server server(server_);
    // A signal during loading ends the process at once: there is nothing yet that could be lost.
    std::atomic<bool> loaded_flag = false;
    std::atomic<bool> stopping = false;
    std::jthread stopper([&] {
      const int number = signals.wait();
      if (!loaded_flag.load()) _exit(128 + number);
      stopping.store(true);
      stopping.notify_all();
    });
    log_info(fmt::format("listening on http://{}:{}, loading {}", server_.host, server.port(), model_.model));
    server.set_progress(0, "opening " + model_.model);
    LoadedModel loaded;
    try {
      loaded = load(model_);
    } catch (...) {
      kill(getpid(), SIGTERM);  // releases the thread that waits for a signal
      loaded_flag.store(true);
      throw;
    }
    Engine engine(*loaded.model, *loaded.tokenizer, engine_options(loaded));
    EngineThread thread(engine);
    server.serve(service(loaded, thread));
    loaded_flag.store(true);
    log_info(fmt::format("ready: {}, {}, context {} tokens", loaded.checkpoint->container(),
                         loaded.backend->description(), thread.context()));
    stopping.wait(false);
    log_info("stopping");
    server.stop();
    return 0;
  }

 private:
  /// Room for every parallel request at full length, but no more than a quarter of the memory that is free now, and
  /// at least one full-length request. Cache memory is touched only when it is used.
  EngineOptions engine_options(const LoadedModel& loaded) const {
    const ModelLimits limits = loaded.model->limits();
    const int context = std::min(context_, limits.context);
    const uint64_t one = divide_up(static_cast<uint64_t>(context), kBlockTokens);
    const uint64_t fits = available_memory() / 4 / limits.cache_bytes_per_block;
    const uint64_t blocks = std::max(one, std::min(one * static_cast<uint64_t>(parallel_), fits));
    return {.blocks = static_cast<int>(blocks), .context = context, .max_sequences = parallel_};
  }

  Service service(LoadedModel& loaded, EngineThread& thread) const {
    return {.engine = &thread,
            .tokenizer = loaded.tokenizer.get(),
            .chat_template = loaded.chat_template.get(),
            .model_name = alias_.empty() ? public_name(loaded.name) : alias_,
            .system_fingerprint = system_fingerprint(loaded),
            .created = static_cast<int64_t>(std::time(nullptr))};
  }

  ModelFlags model_;
  ServerOptions server_;
  int port_ = 8111, context_ = 8192, parallel_ = 4;
  std::string alias_;
};

}  // namespace

std::unique_ptr<Command> make_serve() { return std::make_unique<Serve>(); }

}  // namespace lancet
