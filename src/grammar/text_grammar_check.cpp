// What can be wrong with a grammar as a whole. Everything is linear in the number of references.
#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "grammar/text_grammar_tree.h"

namespace lancet {
namespace {

using Kind = GrammarNode::Kind;

void collect_names(const GrammarTree& tree, uint32_t at, std::vector<uint32_t>& names) {
  tree.budget().step();
  const GrammarNode& node = tree.node(at);
  if (node.kind == Kind::name) names.push_back(node.name);
  for (const uint32_t part : node.parts) collect_names(tree, part, names);
}

/// Strongly connected components (Tarjan 1972) with a stack of our own.
class Groups {
 public:
  explicit Groups(GrammarReferences& references) : references_(references), state_(references.of.size()), number_(1) {
    for (uint32_t i = 0; i < state_.size(); i++)
      if (!state_[i].number) visit(i);
  }

 private:
  struct State {
    uint32_t number = 0, lowest = 0;
    bool open = false;
  };
  struct Frame {
    uint32_t definition;
    size_t next = 0;
  };

  void enter(uint32_t definition) {
    state_[definition] = {.number = number_, .lowest = number_, .open = true};
    number_++;
    open_.push_back(definition);
    frames_.push_back({.definition = definition});
  }

  void visit(uint32_t first) {
    enter(first);
    while (!frames_.empty()) {
      Frame& frame = frames_.back();
      State& here = state_[frame.definition];
      const auto& successors = references_.of[frame.definition];
      if (frame.next < successors.size()) {
        const uint32_t to = successors[frame.next++];
        if (!state_[to].number)
          enter(to);
        else if (state_[to].open)
          here.lowest = std::min(here.lowest, state_[to].number);
        continue;
      }
      leave(frame.definition);
    }
  }

  void leave(uint32_t definition) {
    frames_.pop_back();
    const State here = state_[definition];
    if (!frames_.empty()) {
      State& caller = state_[frames_.back().definition];
      caller.lowest = std::min(caller.lowest, here.lowest);
    }
    if (here.lowest != here.number) return;
    std::vector<uint32_t> group;
    while (true) {
      const uint32_t member = open_.back();
      open_.pop_back();
      state_[member].open = false;
      group.push_back(member);
      if (member == definition) break;
    }
    const auto& own = references_.of[definition];
    const bool recursive = group.size() > 1 || std::find(own.begin(), own.end(), definition) != own.end();
    for (const uint32_t member : group) references_.recursive[member] = recursive;
    references_.groups.push_back(std::move(group));
  }

  GrammarReferences& references_;
  std::vector<State> state_;
  uint32_t number_;
  std::vector<uint32_t> open_;
  std::vector<Frame> frames_;
};

/// The smallest set of definitions that `holds` of them given the set: a definition is looked at again whenever one
/// that it refers to has come in.
std::vector<bool> smallest_set(const GrammarTree& tree, const GrammarReferences& references,
                               const std::function<bool(uint32_t node, const std::vector<bool>&)>& holds) {
  const auto& definitions = tree.definitions();
  std::vector<std::vector<uint32_t>> users(definitions.size());
  std::vector<uint32_t> waiting;
  for (uint32_t i = 0; i < definitions.size(); i++) {
    waiting.push_back(i);
    for (const uint32_t to : references.of[i]) users[to].push_back(i);
  }
  std::vector<bool> in(definitions.size());
  while (!waiting.empty()) {
    const uint32_t i = waiting.back();
    waiting.pop_back();
    tree.budget().step();
    if (in[i] || !holds(*definitions[i].body, in)) continue;
    in[i] = true;
    waiting.insert(waiting.end(), users[i].begin(), users[i].end());
  }
  return in;
}

bool matches_empty(const GrammarTree& tree, uint32_t at, const std::vector<bool>& empty_names) {
  tree.budget().step();
  const GrammarNode& node = tree.node(at);
  const auto part = [&](uint32_t p) { return matches_empty(tree, p, empty_names); };
  switch (node.kind) {
    case Kind::literal: return node.text.empty();
    case Kind::term:
    case Kind::rule: return node.may_be_empty;
    case Kind::name: return empty_names[node.name];
    case Kind::sequence: return std::all_of(node.parts.begin(), node.parts.end(), part);
    case Kind::either: return std::any_of(node.parts.begin(), node.parts.end(), part);
    case Kind::repeat: return node.min == 0 || part(node.parts[0]);
  }
  return false;
}

bool ends(const GrammarTree& tree, uint32_t at, const std::vector<bool>& ending_names) {
  tree.budget().step();
  const GrammarNode& node = tree.node(at);
  const auto part = [&](uint32_t p) { return ends(tree, p, ending_names); };
  switch (node.kind) {
    case Kind::literal:
    case Kind::term:
    case Kind::rule: return true;
    case Kind::name: return ending_names[node.name];
    case Kind::sequence: return std::all_of(node.parts.begin(), node.parts.end(), part);
    case Kind::either: return std::any_of(node.parts.begin(), node.parts.end(), part);
    case Kind::repeat: return node.min == 0 || part(node.parts[0]);
  }
  return false;
}

/// Names that can stand at the very beginning of a node's text.
void collect_first_names(const GrammarTree& tree, uint32_t at, const std::vector<bool>& empty_names,
                         std::vector<uint32_t>& names) {
  tree.budget().step();
  const GrammarNode& node = tree.node(at);
  if (node.kind == Kind::name) names.push_back(node.name);
  for (const uint32_t part : node.parts) {
    collect_first_names(tree, part, empty_names, names);
    if (node.kind == Kind::sequence && !matches_empty(tree, part, empty_names)) return;
  }
}

[[noreturn]] void fail_cycle(const GrammarTree& tree, const std::vector<uint32_t>& path, uint32_t back_to) {
  const std::vector<uint32_t> cycle(std::find(path.begin(), path.end(), back_to), path.end());
  constexpr size_t kShown = 6;
  std::string shown;
  for (size_t i = 0; i < std::min(cycle.size(), kShown); i++) shown += tree.definitions()[cycle[i]].name + " -> ";
  if (cycle.size() > kShown) shown += "... -> ";
  const GrammarDefinition& definition = tree.definitions()[back_to];
  tree.fail(definition.offset, fmt::format("rule {} may begin with itself before anything is read ({}{}); rewrite the "
                                           "left recursion as a repetition",
                                           quoted(definition.name), shown, definition.name));
}

void check_left_recursion(const GrammarTree& tree, const std::vector<bool>& empty_names) {
  enum class Mark : uint8_t { fresh, on_path, done };
  struct Frame {
    std::vector<uint32_t> names;
    size_t next = 0;
  };
  std::vector<Mark> marks(tree.definitions().size());
  std::vector<Frame> frames;
  std::vector<uint32_t> path;
  const auto enter = [&](uint32_t definition) {
    marks[definition] = Mark::on_path;
    path.push_back(definition);
    frames.emplace_back();
    collect_first_names(tree, *tree.definitions()[definition].body, empty_names, frames.back().names);
  };
  for (uint32_t first = 0; first < marks.size(); first++) {
    if (marks[first] != Mark::fresh) continue;
    enter(first);
    while (!frames.empty()) {
      Frame& frame = frames.back();
      if (frame.next == frame.names.size()) {
        marks[path.back()] = Mark::done;
        path.pop_back();
        frames.pop_back();
        continue;
      }
      const uint32_t to = frame.names[frame.next++];
      if (marks[to] == Mark::on_path) fail_cycle(tree, path, to);
      if (marks[to] == Mark::fresh) enter(to);
    }
  }
}

}  // namespace

GrammarReferences grammar_references(const GrammarTree& tree) {
  const auto& definitions = tree.definitions();
  GrammarReferences references;
  references.of.resize(definitions.size());
  references.recursive.resize(definitions.size());
  for (size_t i = 0; i < definitions.size(); i++) {
    if (!definitions[i].body)
      tree.fail(definitions[i].offset, fmt::format("{} is used and never defined", quoted(definitions[i].name)));
    auto& names = references.of[i];
    collect_names(tree, *definitions[i].body, names);
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    tree.budget().charge(names.size() * 2 * sizeof(uint32_t));
  }
  const Groups found(references);
  return references;
}

void check_grammar(const GrammarTree& tree, const GrammarReferences& references, uint32_t start) {
  using Names = std::vector<bool>;
  const Names empty_names =
      smallest_set(tree, references, [&](uint32_t node, const Names& in) { return matches_empty(tree, node, in); });
  check_left_recursion(tree, empty_names);
  const Names ending_names =
      smallest_set(tree, references, [&](uint32_t node, const Names& in) { return ends(tree, node, in); });
  const GrammarDefinition& definition = tree.definitions()[start];
  if (!ending_names[start])
    tree.fail(definition.offset, fmt::format("rule {} needs itself in every alternative, so no text satisfies it",
                                             quoted(definition.name)));
}

}  // namespace lancet
