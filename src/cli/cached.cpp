// list and rm: what the download cache holds, and taking it away.
#include <cstdio>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/error.h"
#include "cli/command.h"
#include "hub/files.h"
#include "hub/inventory.h"

namespace lancet {
namespace {
namespace json = boost::json;

json::object as_json(const CachedRepository& repository) {
  json::array revisions;
  for (const CachedRevision& revision : repository.revisions)
    revisions.push_back(json::object{{"commit", revision.commit},
                                     {"refs", json::array(revision.refs.begin(), revision.refs.end())},
                                     {"files", json::array(revision.files.begin(), revision.files.end())}});
  return {{"repo", repository.repo},
          {"bytes", repository.bytes},
          {"unfinished_bytes", repository.unfinished_bytes},
          {"changed", repository.changed_s},
          {"revisions", revisions}};
}

class List : public Command {
 public:
  void declare(Flags& flags) override {
    flags.add("--json", json_, "print one JSON document");
    flags.example("lancet list", "repositories, sizes, revisions");
  }

  int run() override {
    const std::vector<CachedRepository> all = list_cache();
    if (json_) {
      json::array repositories;
      for (const CachedRepository& repository : all) repositories.push_back(as_json(repository));
      fmt::print("{}\n",
                 json::serialize(json::object{{"cache", hub_cache_folder().string()}, {"repositories", repositories}}));
      return 0;
    }
    if (all.empty()) fmt::print(stderr, "lancet: {} holds no models\n", hub_cache_folder().string());
    for (const CachedRepository& repository : all) print(repository);
    return 0;
  }

 private:
  static void print(const CachedRepository& repository) {
    fmt::print("{}  {}{}  {:%Y-%m-%d}\n", repository.repo, size_text(repository.bytes),
               repository.unfinished_bytes > 0
                   ? fmt::format(" and {} unfinished", size_text(repository.unfinished_bytes))
                   : "",
               fmt::gmtime(static_cast<std::time_t>(repository.changed_s)));
    for (const CachedRevision& revision : repository.revisions) {
      fmt::print("  {}{}{}, {} file{}\n", revision.commit.substr(0, 12), revision.refs.empty() ? "" : " ",
                 fmt::join(revision.refs, " "), revision.files.size(), revision.files.size() == 1 ? "" : "s");
      for (const std::string& file : revision.files)
        if (file.ends_with(".gguf")) fmt::print("    {}\n", file);
    }
  }

  bool json_ = false;
};

class Remove : public Command {
 public:
  void declare(Flags& flags) override {
    flags.add("model", model_, "owner/repo: all of it; with @REVISION or :QUANT only that");
    flags.required("model");
    flags.add("--dry-run", dry_run_, "say what would be freed, and stop");
    flags.add("--json", json_, "print one JSON document");
    flags.example("lancet rm mistralai/Ministral-3-3B-Instruct-2512-GGUF:Q4_K_M", "one GGUF");
  }

  int run() override {
    const auto name = parse_hub_name(model_);
    if (!name)
      throw Error(Fault::bad_request,
                  fmt::format("{} is no hub name, wanted owner/repo or owner/repo:QUANT", lancet::quoted(model_)));
    const Removal removal = plan_removal(*name);
    const std::string what = fmt::format("{}: {} file{}, {}", hub_name_text(*name), removal.links.size(),
                                         removal.links.size() == 1 ? "" : "s", size_text(removal.bytes));
    fmt::print(stderr, "lancet: {} {}\n", dry_run_ ? "would remove" : "removing", what);
    if (!dry_run_) remove(removal);
    if (json_) {
      fmt::print("{}\n", json::serialize(json::object{
                             {"removed", !dry_run_}, {"files", removal.links.size()}, {"freed_bytes", removal.bytes}}));
    }
    return 0;
  }

 private:
  std::string model_;
  bool dry_run_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_list() { return std::make_unique<List>(); }
std::unique_ptr<Command> make_rm() { return std::make_unique<Remove>(); }

}  // namespace lancet
