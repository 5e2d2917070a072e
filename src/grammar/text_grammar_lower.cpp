// Definitions -> rules. A definition that is not recursive and refers to no recursive one is a regular language and
// becomes one Term, which is matched without a stack; recursive ones are declared rules. Terms are kept small: a
// definition used twice doubles the size of its user, so a chain of n could reach 2^n; what has grown too large or too
// deep is made a rule, which is shared.
#include <algorithm>

#include "grammar/text_grammar_tree.h"

namespace lancet {
namespace {

using Kind = GrammarNode::Kind;

constexpr size_t kTermSize = 2000;  // characters of source, names expanded
constexpr int kTermDepth = 100;     // operators within operators, regular expressions counted as one

/// What a node has become: exactly one of a fixed text, a term and a rule.
struct Piece {
  enum class Form : uint8_t { text, term, rule };
  Form form = Form::text;
  std::string text;
  Term term;
  RuleId rule = 0;
  size_t size = 0;  // of a text or term
  int depth = 0;    // of a term
};

class Lowering {
 public:
  Lowering(const GrammarTree& tree, const GrammarReferences& references, Rules& rules)
      : tree_(tree), references_(references), rules_(rules), made_(tree.definitions().size()) {}

  RuleId run(uint32_t start) {
    const std::vector<bool> needed = reachable(start);
    for (const auto& group : references_.groups) {
      if (!needed[group[0]]) continue;
      const bool recursive = references_.recursive[group[0]];
      if (recursive)
        for (const uint32_t member : group) made_[member] = of_rule(rules_.declare());
      for (const uint32_t member : group) {
        Piece body = lower(*tree_.definitions()[member].body);
        if (recursive)
          rules_.define(made_[member].rule, rule_of(body));
        else
          made_[member] = std::move(body);
      }
    }
    return rule_of(made_[start]);
  }

 private:
  std::vector<bool> reachable(uint32_t start) const {
    std::vector<bool> seen(made_.size());
    std::vector<uint32_t> waiting = {start};
    while (!waiting.empty()) {
      const uint32_t at = waiting.back();
      waiting.pop_back();
      tree_.budget().step();
      if (seen[at]) continue;
      seen[at] = true;
      waiting.insert(waiting.end(), references_.of[at].begin(), references_.of[at].end());
    }
    return seen;
  }

  static Piece of_rule(RuleId rule) { return {.form = Piece::Form::rule, .rule = rule}; }
  static Piece of_text(std::string text) {
    const size_t size = text.size();
    return {.text = std::move(text), .size = size};
  }

  Piece lower(uint32_t at) {
    tree_.budget().step();
    const GrammarNode& node = tree_.node(at);
    switch (node.kind) {
      case Kind::literal: return of_text(node.text);
      case Kind::term: return {.form = Piece::Form::term, .term = node.term, .size = node.size, .depth = 1};
      case Kind::rule: return of_rule(node.rule);
      case Kind::name: tree_.budget().step(made_[node.name].text.size() / 16); return made_[node.name];
      case Kind::sequence: return sequence(node);
      case Kind::either: return either(node);
      case Kind::repeat: return repeat(node);
    }
    return {};
  }

  Term term_of(const Piece& piece) {
    return piece.form == Piece::Form::term ? piece.term : rules_.terms().literal(piece.text);
  }

  RuleId rule_of(const Piece& piece) {
    tree_.budget().charge(32);
    switch (piece.form) {
      case Piece::Form::text: return rules_.literal(piece.text);
      case Piece::Form::term: return rules_.text(piece.term, Encoding::utf8);
      case Piece::Form::rule: return piece.rule;
    }
    return piece.rule;
  }

  /// Whether a term may be made of these, which are texts and terms.
  static bool fits(const Piece& a, const Piece& b) {
    return a.form != Piece::Form::rule && b.form != Piece::Form::rule && a.size + b.size <= kTermSize &&
           std::max(a.depth, b.depth) < kTermDepth;
  }

  /// Puts b behind a, as far as that needs no rule.
  bool append(Piece& a, const Piece& b) {
    if (a.form == Piece::Form::text && b.form == Piece::Form::text && a.size + b.size <= kLiteralBytes) {
      a.text += b.text;
      a.size += b.size;
      tree_.budget().charge(b.size);
      return true;
    }
    if (!fits(a, b)) return false;
    tree_.budget().step(a.size + b.size);
    a = {.form = Piece::Form::term,
         .term = rules_.terms().concat({term_of(a), term_of(b)}),
         .size = a.size + b.size + 1,
         .depth = std::max(a.depth, b.depth)};
    return true;
  }

  Piece sequence(const GrammarNode& node) {
    std::vector<Piece> pieces;
    for (const uint32_t part : node.parts) {
      Piece piece = lower(part);
      if (pieces.empty() || !append(pieces.back(), piece)) pieces.push_back(std::move(piece));
    }
    if (pieces.empty()) return of_text("");
    if (pieces.size() == 1) {
      if (node.parts.size() > 1) pieces[0].depth++;
      return std::move(pieces[0]);
    }
    std::vector<RuleId> parts;
    for (const Piece& piece : pieces) parts.push_back(rule_of(piece));
    return of_rule(rules_.sequence(std::move(parts)));
  }

  Piece either(const GrammarNode& node) {
    std::vector<std::string> texts;
    std::vector<RuleId> others;
    std::vector<Piece> terms;
    size_t size = 0;
    for (const uint32_t part : node.parts) {
      Piece piece = lower(part);
      size += piece.size + 1;
      if (piece.form == Piece::Form::rule)
        others.push_back(piece.rule);
      else if (piece.form == Piece::Form::text)
        texts.push_back(std::move(piece.text));
      else
        terms.push_back(std::move(piece));
    }
    const auto shallow = [](const Piece& piece) { return piece.depth < kTermDepth; };
    if (size <= kTermSize && std::all_of(terms.begin(), terms.end(), shallow)) {
      Piece all = union_of(texts, terms, size);
      if (others.empty()) return all;
      if (!texts.empty() || !terms.empty()) others.push_back(rule_of(all));
    } else {
      if (!texts.empty()) others.push_back(rules_.texts(std::move(texts)));
      for (const Piece& piece : terms) others.push_back(rule_of(piece));
    }
    return of_rule(others.size() == 1 ? others[0] : rules_.either(std::move(others)));
  }

  Piece union_of(const std::vector<std::string>& texts, const std::vector<Piece>& terms, size_t size) {
    tree_.budget().step(size);
    std::vector<Term> all;
    int depth = 0;
    for (const std::string& text : texts) all.push_back(rules_.terms().literal(text));
    for (const Piece& piece : terms) {
      all.push_back(piece.term);
      depth = std::max(depth, piece.depth);
    }
    if (terms.empty() && texts.size() == 1) return of_text(texts[0]);
    return {.form = Piece::Form::term, .term = rules_.terms().either(all), .size = size, .depth = depth + 1};
  }

  Piece repeat(const GrammarNode& node) {
    Piece part = lower(node.parts[0]);
    if (node.min == 1 && node.max == 1) return part;
    if (part.form == Piece::Form::rule || part.size > kTermSize || part.depth >= kTermDepth)
      return of_rule(rules_.repeat(rule_of(part), node.min, node.max));
    return {.form = Piece::Form::term,
            .term = rules_.terms().repeat(term_of(part), node.min, node.max),
            .size = part.size + 1,
            .depth = part.depth + 1};
  }

  static constexpr size_t kLiteralBytes = size_t{1} << 20;

  const GrammarTree& tree_;
  const GrammarReferences& references_;
  Rules& rules_;
  std::vector<Piece> made_;  // by definition
};

}  // namespace

RuleId lower_grammar(const GrammarTree& tree, const GrammarReferences& references, uint32_t start, Rules& rules) {
  return Lowering(tree, references, rules).run(start);
}

}  // namespace lancet
