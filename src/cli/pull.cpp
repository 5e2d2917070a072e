// pull: a model from the hub into the cache.
#include <cstdio>

#include <fmt/format.h>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/error.h"
#include "cli/command.h"
#include "cli/model_flags.h"
#include "cli/progress.h"
#include "hub/files.h"
#include "hub/pull.h"

namespace lancet {
namespace {
namespace json = boost::json;

class PullCommand : public Command {
 public:
  void declare(Flags& flags) override {
    flags.add("model", model_, "owner/repo, with @REVISION and :QUANT if wanted; none: the published Ministral 3 3B");
    flags.add("--revision", revision_, "a branch, tag or commit; empty: main");
    flags.add("--token-file", token_file_,
              "file with a hub token; empty: $HF_TOKEN, else the file that hf login wrote");
    flags.add("--offline", offline_, "look only into the cache, as with HF_HUB_OFFLINE=1");
    flags.add("--verify", verify_, "compare what is in the cache with the hub's digests; fetch what is damaged again");
    flags.add("--attempts", attempts_, "tries in a row without progress before giving up", 1, 1000);
    flags.add("--stall", stall_s_, "seconds with less than 1 kB/s after which a transfer is begun anew", 1, 3600);
    flags.add("--json", json_, "print one JSON document");
    flags.example("lancet pull mistralai/Ministral-3-3B-Instruct-2512", "the published FP8 files");
    flags.example("lancet pull mistralai/Ministral-3-3B-Instruct-2512-GGUF:Q4_K_M", "one GGUF, and its image part");
  }

  int run() override {
    HubSettings settings = hub_settings(token_file_);
    settings.offline = settings.offline || offline_;
    settings.verify = verify_;
    if (verify_ && settings.offline)
      throw Error(Fault::bad_request, "--verify asks the hub for the digests; offline, `lancet doctor` compares");
    settings.attempts = attempts_;
    settings.stall_s = stall_s_;
    const Pulled pulled = pull(settings);
    if (json_) {
      print_json(pulled);
    } else {
      fmt::print("{}\n", pulled.model.string());
    }
    return 0;
  }

 private:
  HubName name() const {
    const std::string model = model_or_default(model_);
    auto name = parse_hub_name(model);
    if (!name) {
      throw Error(Fault::bad_request, fmt::format("{} is no hub name, wanted owner/repo, owner/repo:QUANT or "
                                                  "owner/repo@REVISION",
                                                  lancet::quoted(model)));
    }
    if (revision_.empty()) return *name;
    if (!name->revision.empty() && name->revision != revision_)
      throw Error(Fault::bad_request, fmt::format("{} and --revision {} name two revisions", model, revision_));
    if (!is_revision(revision_))
      throw Error(Fault::bad_request,
                  fmt::format("--revision is {}, wanted a branch, tag or commit", lancet::quoted(revision_)));
    name->revision = revision_;
    return *name;
  }

  /// The bar is gone when this returns.
  Pulled pull(const HubSettings& settings) const {
    PullMeter meter([](const std::string& line) { fmt::print(stderr, "lancet: {}\n", line); }, true);
    return pull_model(name(), settings, meter.watch());
  }

  static void print_json(const Pulled& pulled) {
    json::array files;
    for (const RepositoryFile& file : pulled.plan.files)
      files.push_back(json::object{{"name", file.name}, {"bytes", file.size}, {"digest", file.digest}});
    fmt::print("{}\n", json::serialize(json::object{{"repo", pulled.plan.name.repo},
                                                    {"commit", pulled.plan.commit},
                                                    {"path", pulled.model.string()},
                                                    {"bytes", pulled.plan.total_bytes},
                                                    {"fetched_bytes", pulled.fetched_bytes},
                                                    {"files", files}}));
  }

  std::string model_, revision_, token_file_;
  bool offline_ = false, verify_ = false, json_ = false;
  int attempts_ = HubSettings().attempts, stall_s_ = HubSettings().stall_s;
};

}  // namespace

std::unique_ptr<Command> make_pull() { return std::make_unique<PullCommand>(); }

}  // namespace lancet
