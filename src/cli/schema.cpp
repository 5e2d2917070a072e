// schema: constraints without a model. One JSON line in, one out: is the constraint enforced, and which texts may a
// model write under it, token by token.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>

#include <fmt/format.h>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/error.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "cli/command.h"
#include "cli/json_text.h"
#include "cli/model_flags.h"
#include "cli/schema_walk.h"
#include "grammar/json_schema.h"
#include "grammar/text_grammars.h"
#include "hub/cache.h"

namespace lancet {
namespace {

namespace json = boost::json;

constexpr size_t kLineBytes = size_t{32} << 20;
constexpr JsonLimits kLineLimits = {.depth = 35, .fault = Fault::bad_request};  // instances lie three levels deep

/// One line of stdin without its end; of a line that is too long only as much as shows that. False at the end of the
/// input.
bool read_line(std::string& line) {
  line.clear();
  int c = 0;
  while ((c = getc_unlocked(stdin)) != EOF && c != '\n')
    if (line.size() <= kLineBytes) line += static_cast<char>(c);
  return c == '\n' || !line.empty();
}

class Schema : public Command {
 public:
  void declare(Flags& flags) override {
    flags.add("-m,--model", model_,
              "a model, a directory without weights, a tokenizer.json or a tekken.json; empty: $LANCET_MODEL, else the "
              "default model");
    flags.choice("--order", order_, "members of objects in any order, or as the schema gives them", {"any", "given"});
    flags.choice("--spacing", spacing_, "white space in JSON", {"flexible", "single", "compact"});
    flags.add("--steps", steps_, "steps that compiling may take");
    flags.add("--memory-mib", memory_mib_, "memory that compiling may take", 1, 65536);
    flags.add("--time-ms", time_ms_, "time that compiling may take", 1, 3'600'000);
    flags.example("lancet schema -m MODEL < lines.jsonl",
                  R"(lines like {"schema":{"type":"integer"},"instances":[{"data":1},{"data":"x"}]})");
    flags.example(R"(echo '{"grammar":"root ::= [0-9]+","instances":[{"text":"12"}]}' | lancet schema -m MODEL)",
                  "also \"lark\", \"regex\", \"choice\"; \"generate\":N writes N random answers");
  }

  int run() override {
    const Tokenizer tokenizer(open_text_assets(resolve_model(model_or_default(model_))).vocabulary);
    tokenizer_ = &tokenizer;
    trie_ = std::make_shared<const TokenTrie>(tokenizer);
    for (std::string line; read_line(line);) {
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      fmt::print("{}\n", json::serialize(answer(line)));
      std::fflush(stdout);
    }
    return 0;
  }

 private:
  BudgetLimits limits() const {
    return {.steps = steps_, .bytes = memory_mib_ << 20, .time = std::chrono::milliseconds(time_ms_)};
  }

  json::object answer(const std::string& line) const {
    try {
      if (line.size() > kLineBytes)
        throw Error(Fault::too_large, fmt::format("the line has more than {} bytes", kLineBytes));
      Budget reading("reading the line", {.steps = 10'000'000});
      const json::value request = parse_json(line, "the line", kLineLimits, reading);
      return check(line, request);
    } catch (const Error& error) {
      return {{"compile", "refused"}, {"reason", error.message()}, {"pointer", error.param()}};
    }
  }

  json::object check(const std::string& line, const json::value& request) const {
    const auto start = std::chrono::steady_clock::now();
    const JsonView view(request, "the line", Fault::bad_request);
    std::vector<SchemaNote> notes;
    Budget compiling("compiling the constraint", limits());
    Rules rules;
    const RuleId rule = add_constraint(rules, view, notes, compiling);
    const auto grammar = Grammar::make(std::move(rules), rule, trie_, compiling);
    const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - start;
    json::object result = {{"compile", "ok"}};
    judge(line, view, grammar, result);
    generate(view, grammar, result);
    result["compile_ms"] = spent.count();
    result["shortest_tokens"] = grammar->shortest_tokens();
    result["bytes"] = grammar->bytes();
    json::array said;
    for (const SchemaNote& note : notes) said.push_back({{"pointer", note.pointer}, {"text", note.text}});
    result["notes"] = std::move(said);
    return result;
  }

  RuleId add_constraint(Rules& rules, const JsonView& view, std::vector<SchemaNote>& notes, Budget& budget) const {
    if (const auto schema = view.find("schema"))
      return add_json_schema(rules, schema->value(), options(), budget, &notes);
    if (const auto gbnf = view.find("grammar")) return add_gbnf(rules, gbnf->string(), budget);
    if (const auto lark = view.find("lark")) return add_lark(rules, lark->string(), budget);
    if (const auto regex = view.find("regex")) return add_regex(rules, regex->string(), budget);
    if (const auto choice = view.find("choice")) {
      std::vector<std::string> choices;
      for (size_t i = 0; i < choice->size(); i++) choices.emplace_back(choice->element(i).string());
      return add_choice(rules, choices, budget);
    }
    throw Error(Fault::bad_request, "a line has one of schema, grammar, lark, regex and choice; this has none");
  }

  SchemaOptions options() const {
    const Spacing spacing = spacing_ == "compact"  ? Spacing::compact
                            : spacing_ == "single" ? Spacing::single
                                                   : Spacing::flexible;
    return {.spacing = spacing, .any_order = order_ == "any"};
  }

  /// The instances: values ("data"), which are written as JSON, and texts ("text").
  void judge(const std::string& line, const JsonView& view, const std::shared_ptr<Grammar>& grammar,
             json::object& result) const {
    json::array results;
    WalkTimes times;
    if (const auto instances = view.find("instances")) {
      const auto sources = json_elements(json_member(line, "instances"));
      for (size_t i = 0; i < instances->size(); i++) {
        Budget walking("walking over the instance", {.time = std::chrono::seconds(60)});
        results.emplace_back(
            walk_text(grammar, *tokenizer_, instance_text(instances->element(i), sources[i]), walking, times));
      }
    }
    result["results"] = std::move(results);
    result["us_per_mask"] = times.mean_us();
    result["us_longest_mask"] = times.longest_us;
    result["masks"] = times.steps;
  }

  static std::string instance_text(const JsonView& instance, std::string_view source) {
    if (const auto text = instance.find("text")) return std::string(text->string());
    const std::string_view data = json_member(source, "data");
    if (data.empty()) instance.fail("an object with data or text");
    return canonical_json(data);
  }

  void generate(const JsonView& view, const std::shared_ptr<Grammar>& grammar, json::object& result) const {
    const auto count = view.find("generate");
    if (!count) return;
    const auto number = [&](const char* name, int64_t low, int64_t usual) {
      const auto given = view.find(name);
      return given ? given->integer(low, int64_t{1} << 40) : usual;
    };
    const int64_t seed = number("seed", 0, 0);
    Budget starting("the first state", {.time = std::chrono::seconds(30)});
    const int64_t tokens = std::max(number("max_tokens", 1, 256), GrammarState(grammar).tokens_to_end(starting));
    json::array texts;
    for (int64_t i = 0; i < count->integer(0, 100'000); i++) {
      Budget writing("writing an answer", {.time = std::chrono::seconds(30)});
      const RandomText made = random_text(grammar, *tokenizer_, static_cast<uint64_t>(seed + i), tokens, writing);
      texts.push_back({{"text", made.text}, {"tokens", made.tokens}, {"ended", made.ended}});
    }
    result["generated"] = std::move(texts);
    result["max_tokens"] = tokens;
  }

  std::string model_, order_ = "any", spacing_ = "flexible";
  uint64_t steps_ = 2'000'000, memory_mib_ = 64, time_ms_ = 2'000;
  const Tokenizer* tokenizer_ = nullptr;
  std::shared_ptr<const TokenTrie> trie_;
};

}  // namespace

std::unique_ptr<Command> make_schema() { return std::make_unique<Schema>(); }

}  // namespace lancet
