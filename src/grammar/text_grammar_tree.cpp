#include "grammar/text_grammar_tree.h"

#include <algorithm>

#include <fmt/format.h>

namespace lancet {

uint32_t GrammarTree::add(GrammarNode node) {
  budget_->step();
  budget_->charge(sizeof node + node.text.size() + node.parts.size() * sizeof(uint32_t));
  nodes_.push_back(std::move(node));
  return static_cast<uint32_t>(nodes_.size() - 1);
}

uint32_t GrammarTree::add_literal(std::string text) {
  return add({.kind = GrammarNode::Kind::literal, .text = std::move(text)});
}

uint32_t GrammarTree::add_term(Term term, size_t size, bool may_be_empty) {
  return add({.kind = GrammarNode::Kind::term, .term = term, .size = size, .may_be_empty = may_be_empty});
}

uint32_t GrammarTree::add_repeat(uint32_t part, uint64_t min, std::optional<uint64_t> max) {
  return add({.kind = GrammarNode::Kind::repeat, .parts = {part}, .min = min, .max = max});
}

uint32_t GrammarTree::named(std::string_view name, size_t offset) {
  budget_->step();
  const auto [found, is_new] = by_name_.try_emplace(std::string(name), static_cast<uint32_t>(definitions_.size()));
  if (is_new) {
    budget_->charge(sizeof(GrammarDefinition) + 2 * name.size());
    definitions_.push_back({.name = std::string(name), .offset = offset});
  }
  return found->second;
}

void GrammarTree::define(uint32_t definition, uint32_t body, size_t offset) {
  GrammarDefinition& known = definitions_[definition];
  if (known.body)
    fail(offset, fmt::format("{} is defined a second time, first at {}", quoted(known.name), place(known.offset)));
  known.body = body;
  known.offset = offset;
}

std::string GrammarTree::place(size_t offset) const {
  const std::string_view before = source_.substr(0, offset);
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return fmt::format("{}:{}", std::count(before.begin(), before.end(), '\n') + 1, before.size() - line_start + 1);
}

void GrammarTree::fail(size_t offset, const std::string& problem, Fault fault) const {
  throw Error(fault, fmt::format("{}, {}: {}", what_, place(offset), problem));
}

}  // namespace lancet
