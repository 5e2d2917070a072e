// Any bytes as a JSON schema: compiled, or refused with the JSON pointer of a keyword.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "grammar/grammar.h"
#include "grammar/json_schema.h"
#include "grammar_vocabulary.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto trie = fuzz_vocabulary();
  lancet::Budget budget("compiling the schema", fuzz_limits());
  boost::json::value schema;
  try {
    schema = lancet::parse_json(std::string_view(reinterpret_cast<const char*>(data), size), "schema",
                                {.fault = lancet::Fault::bad_request}, budget);
  } catch (const lancet::Error&) {
    return 0;
  }
  try {
    lancet::Rules rules;
    std::vector<lancet::SchemaNote> notes;
    const auto start = lancet::add_json_schema(rules, schema, {}, budget, &notes);
    lancet::Grammar::make(std::move(rules), start, trie, budget);
  } catch (const lancet::Error& error) {
    if (error.message().empty()) std::abort();
  }
  return 0;
}
