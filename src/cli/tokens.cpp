// tokenize and detokenize: text <-> ids, without weights.
#include <charconv>
#include <cstdio>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/error.h"
#include "checkpoint/checkpoint.h"
#include "cli/command.h"
#include "cli/model_flags.h"
#include "hub/cache.h"

namespace lancet {
namespace {

constexpr size_t kStdinLimit = size_t{1} << 30;

class Tokenize : public Command {
 public:
  void declare(Flags& flags) override {
    flags.add("-m,--model", model_, "a model, a directory without weights, a tokenizer.json or a tekken.json");
    flags.required("--model");
    flags.add("--special", special_, "let the text spell control tokens");
    flags.add("--json", json_, "print {\"tokens\":[...]}");
    flags.example("echo -n 'Hello' | lancet tokenize -m MODEL", "one id a line");
  }

  int run() override {
    const Tokenizer tokenizer(open_text_assets(resolve_model(model_)).vocabulary);
    Budget budget("the tokenizer");
    const Encoded encoded = tokenizer.encode(read_stdin(kStdinLimit), special_, budget);
    report_lost_bytes(encoded.lost_bytes);
    if (json_) {
      boost::json::object document;
      document["tokens"] = boost::json::array(encoded.ids.begin(), encoded.ids.end());
      if (!encoded.lost_bytes.empty())
        document["lost_bytes"] = boost::json::array(encoded.lost_bytes.begin(), encoded.lost_bytes.end());
      fmt::print("{}\n", boost::json::serialize(document));
    } else {
      for (const TokenId id : encoded.ids) fmt::print("{}\n", id);
    }
    return 0;
  }

 private:
  std::string model_;
  bool special_ = false, json_ = false;
};

/// Ids from text: separated by anything that is no digit and no sign, so that JSON arrays and plain lists both work.
std::vector<TokenId> parse_ids(std::string_view text, int size) {
  std::vector<TokenId> ids;
  for (size_t at = 0; at < text.size();) {
    const bool starts = (text[at] >= '0' && text[at] <= '9') || text[at] == '-';
    if (!starts) {
      at++;
      continue;
    }
    TokenId id = 0;
    const auto [end, problem] = std::from_chars(text.data() + at, text.data() + text.size(), id);
    if (problem != std::errc() || id < 0 || id >= size)
      throw Error(Fault::bad_request,
                  fmt::format("token id {} is not in the vocabulary of {} tokens", quoted(text.substr(at, 12)), size));
    ids.push_back(id);
    at = static_cast<size_t>(end - text.data());
  }
  return ids;
}

class Detokenize : public Command {
 public:
  void declare(Flags& flags) override {
    flags.add("-m,--model", model_, "a model, a directory without weights, a tokenizer.json or a tekken.json");
    flags.required("--model");
    flags.add("--special", special_, "show control tokens");
    flags.add("--json", json_, "print {\"text\":\"...\"}");
    flags.example("echo '22177 1044' | lancet detokenize -m MODEL", "the text of the ids on stdin");
  }

  int run() override {
    const Tokenizer tokenizer(open_text_assets(resolve_model(model_)).vocabulary);
    const std::string text = tokenizer.decode(parse_ids(read_stdin(kStdinLimit), tokenizer.size()), special_);
    if (json_) {
      fmt::print("{}\n", boost::json::serialize(boost::json::object{{"text", text}}));
    } else {
      std::fwrite(text.data(), 1, text.size(), stdout);
    }
    return 0;
  }

 private:
  std::string model_;
  bool special_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_tokenize() { return std::make_unique<Tokenize>(); }
std::unique_ptr<Command> make_detokenize() { return std::make_unique<Detokenize>(); }

}  // namespace lancet
