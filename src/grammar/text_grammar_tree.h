// What the readers of GBNF and Lark build and what becomes rules: definitions by name, whose bodies are trees. The
// trees are as deep as the readers allow (kGrammarNesting); definitions may refer to each other in chains of any
// length, so whatever follows names works with lists, not by recursion.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/budget.h"
#include "base/error.h"
#include "grammar/rules.h"

namespace lancet {

/// How deep groups may nest.
inline constexpr int kGrammarNesting = 200;

struct GrammarNode {
  enum class Kind : uint8_t {
    literal,   // `text`, UTF-8; may be empty
    term,      // `term`, about `size` characters of source
    rule,      // `rule`: made elsewhere
    name,      // the definition `name`
    sequence,  // `parts` after each other
    either,    // one of `parts`
    repeat,    // parts[0], `min` to `max` times
  };
  Kind kind = Kind::sequence;
  std::string text;
  Term term;
  size_t size = 0;
  bool may_be_empty = false;  // of a term or rule
  RuleId rule = 0;
  uint32_t name = 0;
  std::vector<uint32_t> parts;
  uint64_t min = 0;
  std::optional<uint64_t> max;
};

struct GrammarDefinition {
  std::string name;
  size_t offset = 0;             // of its definition, or of its first use as long as there is none
  std::optional<uint32_t> body;  // a node
};

/// The definitions of one grammar with their source.
class GrammarTree {
 public:
  /// `what` begins every message: "GBNF grammar". The source must outlive the tree.
  GrammarTree(std::string what, std::string_view source, Budget& budget)
      : what_(std::move(what)), source_(source), budget_(&budget) {}

  uint32_t add(GrammarNode);  // the node's number
  uint32_t add_literal(std::string text);
  uint32_t add_term(Term, size_t size, bool may_be_empty);
  uint32_t add_repeat(uint32_t part, uint64_t min, std::optional<uint64_t> max);
  /// The definition of this name, used or defined at `offset`.
  uint32_t named(std::string_view name, size_t offset);
  void define(uint32_t definition, uint32_t body, size_t offset);  // fails for a second definition

  const GrammarNode& node(uint32_t at) const { return nodes_[at]; }
  const std::vector<GrammarDefinition>& definitions() const { return definitions_; }
  std::string_view source() const { return source_; }
  Budget& budget() const { return *budget_; }

  /// Throws "GBNF grammar, 3:14: <problem>"; columns count bytes from 1.
  [[noreturn]] void fail(size_t offset, const std::string& problem, Fault fault = Fault::bad_request) const;
  std::string place(size_t offset) const;  // "3:14"

 private:
  std::string what_;
  std::string_view source_;
  Budget* budget_;
  std::vector<GrammarNode> nodes_;
  std::vector<GrammarDefinition> definitions_;
  std::unordered_map<std::string, uint32_t> by_name_;
};

/// Which definitions refer to which.
struct GrammarReferences {
  std::vector<std::vector<uint32_t>> of;      // by definition, each once
  std::vector<std::vector<uint32_t>> groups;  // mutually recursive ones together; whoever is referred to comes first
  std::vector<bool> recursive;                // by definition
};
GrammarReferences grammar_references(const GrammarTree&);

/// Refuses undefined names, left recursion (a cycle that consumes nothing is one) and a start that never ends.
void check_grammar(const GrammarTree&, const GrammarReferences&, uint32_t start);

/// The rule of a checked grammar's start. Whatever is not recursive becomes a Term as long as it is small.
RuleId lower_grammar(const GrammarTree&, const GrammarReferences&, uint32_t start, Rules&);

}  // namespace lancet
