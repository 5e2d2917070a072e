#include "cli/grammar_flags.h"

#include <chrono>

#include <fmt/format.h>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "grammar/json_schema.h"
#include "grammar/text_grammars.h"

namespace lancet {
namespace {

constexpr size_t kMostBytes = size_t{4} << 20;  // of a schema or grammar

Spacing spacing_of(const std::string& name) {
  return name == "compact" ? Spacing::compact : name == "single" ? Spacing::single : Spacing::flexible;
}

RuleId add_schema_file(Rules& rules, const std::string& file, Spacing spacing, Budget& budget) {
  const auto schema =
      parse_json(read_text_file(file, kMostBytes), file, JsonLimits{.fault = Fault::bad_request}, budget);
  std::vector<SchemaNote> notes;
  const RuleId rule = add_json_schema(rules, schema, {.spacing = spacing, .whole_plain = true}, budget, &notes);
  for (const SchemaNote& note : notes) log_warning(fmt::format("{}: {}", note.pointer, note.text));
  return rule;
}

}  // namespace

void GrammarFlags::declare(Flags& flags) {
  flags.add("--schema", schema, "a file: the answer is JSON of this JSON Schema");
  flags.add("--grammar", grammar, "a file: the answer is a text of this GBNF grammar");
  flags.add("--lark", lark, "a file: the answer is a text of this Lark grammar");
  flags.add("--regex", regex, "the whole answer matches this regular expression");
  flags.add("--choice", choice, "the answer is one of these; the flag is repeated");
  flags.choice("--spacing", spacing, "white space in the JSON of --schema", {"flexible", "single", "compact"});
}

std::shared_ptr<Grammar> GrammarFlags::make(const Tokenizer& tokenizer) const {
  const int given = !schema.empty() + !grammar.empty() + !lark.empty() + !regex.empty() + !choice.empty();
  if (given == 0) return nullptr;
  if (given > 1)
    throw Error(Fault::bad_request, "--schema, --grammar, --lark, --regex and --choice exclude each other");
  Budget budget("the constraint", {.steps = uint64_t{1} << 30, .time = std::chrono::seconds(60)});
  Rules rules;
  const RuleId rule = !schema.empty()    ? add_schema_file(rules, schema, spacing_of(spacing), budget)
                      : !grammar.empty() ? add_gbnf(rules, read_text_file(grammar, kMostBytes), budget)
                      : !lark.empty()    ? add_lark(rules, read_text_file(lark, kMostBytes), budget)
                      : !regex.empty()   ? add_regex(rules, regex, budget)
                                         : add_choice(rules, choice, budget);
  return Grammar::make(std::move(rules), rule, std::make_shared<const TokenTrie>(tokenizer), budget);
}

}  // namespace lancet
