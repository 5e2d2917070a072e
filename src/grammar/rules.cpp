#include "grammar/rules.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "grammar/rules_state.h"

namespace lancet {
namespace {

Rule make_rule(Rule::Kind kind) {
  Rule rule;
  rule.kind = kind;
  return rule;
}

/// White space as Spacing::flexible allows it between two tokens.
Term flexible_space(TermPool& terms) {
  const Term space = terms.literal(" "), tab = terms.literal("\t"), line = terms.literal("\n");
  return terms.either({terms.empty(), space, terms.concat({line, terms.repeat(space, 0, 40)}),
                       terms.concat({line, terms.repeat(tab, 1, 10)})});
}

}  // namespace

SortedTexts::Range SortedTexts::narrow(Range range, uint32_t depth, uint8_t byte) const {
  const auto at = [depth](const std::string& text) {
    return depth < text.size() ? static_cast<int>(static_cast<uint8_t>(text[depth])) : -1;
  };
  const auto begin = texts.begin() + range.first, end = texts.begin() + range.last;
  const auto first = std::lower_bound(begin, end, static_cast<int>(byte),
                                      [&](const std::string& text, int wanted) { return at(text) < wanted; });
  const auto last = std::upper_bound(first, end, static_cast<int>(byte),
                                     [&](int wanted, const std::string& text) { return wanted < at(text); });
  return {static_cast<uint32_t>(first - texts.begin()), static_cast<uint32_t>(last - texts.begin())};
}

std::string json_quoted(std::string_view utf8) {
  static constexpr std::string_view kEscaped = "\"\\\b\f\n\r\t", kLetters = "\"\\bfnrt", kHex = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : utf8) {
    const auto byte = static_cast<uint8_t>(c);
    if (const size_t at = kEscaped.find(c); at != std::string_view::npos) {
      out += '\\';
      out += kLetters[at];
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

RuleId Rules::State::add(Rule rule) {
  rules.push_back(std::move(rule));
  return static_cast<RuleId>(rules.size() - 1);
}

Rules::Rules() : state_(std::make_unique<State>()) { state_->add(make_rule(Rule::Kind::either)); }
Rules::~Rules() = default;
Rules::Rules(Rules&&) noexcept = default;
Rules& Rules::operator=(Rules&&) noexcept = default;

TermPool& Rules::terms() { return state_->terms; }
size_t Rules::count() const { return state_->rules.size(); }
RuleId Rules::nothing() { return 0; }
RuleId Rules::empty() { return sequence({}); }

RuleId Rules::text(Term term, Encoding encoding) {
  Rule rule = make_rule(Rule::Kind::text);
  rule.term = term;
  rule.encoding = encoding;
  return state_->add(std::move(rule));
}

RuleId Rules::texts(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  if (texts.empty()) return nothing();
  Rule rule = make_rule(Rule::Kind::texts);
  rule.index = static_cast<uint32_t>(state_->texts.size());
  state_->texts.push_back({std::move(texts)});
  return state_->add(std::move(rule));
}

RuleId Rules::literal(std::string_view bytes) { return texts({std::string(bytes)}); }

RuleId Rules::control(TokenId token) {
  Rule rule = make_rule(Rule::Kind::control);
  rule.index = static_cast<uint32_t>(token);
  return state_->add(std::move(rule));
}

RuleId Rules::sequence(std::vector<RuleId> parts) {
  if (parts.size() == 1) return parts[0];
  Rule rule = make_rule(Rule::Kind::sequence);
  rule.parts = std::move(parts);
  return state_->add(std::move(rule));
}

RuleId Rules::either(std::vector<RuleId> parts) {
  std::sort(parts.begin(), parts.end());
  parts.erase(std::unique(parts.begin(), parts.end()), parts.end());
  if (!parts.empty() && parts[0] == nothing()) parts.erase(parts.begin());
  if (parts.empty()) return nothing();
  if (parts.size() == 1) return parts[0];
  Rule rule = make_rule(Rule::Kind::either);
  rule.parts = std::move(parts);
  return state_->add(std::move(rule));
}

RuleId Rules::repeat(RuleId body, uint64_t min, std::optional<uint64_t> max) {
  CHECK(!max || min <= *max);
  if (min == 1 && max && *max == 1) return body;
  Rule rule = make_rule(Rule::Kind::repeat);
  rule.parts = {body};
  rule.min = min;
  rule.max = max.value_or(kUnbounded);
  return state_->add(std::move(rule));
}

RuleId Rules::space(Spacing spacing, char after) {
  switch (spacing) {
    case Spacing::compact: return empty();
    case Spacing::single: return after == ',' || after == ':' ? literal(" ") : empty();
    case Spacing::flexible: return text(flexible_space(terms()), Encoding::utf8);
  }
  return empty();
}

namespace {

/// open, colon, comma, close and the close of an empty one. White space before a mark belongs to it, but that after the
/// opening belongs to the opening.
Punctuation punctuation(Rules& rules, bool object, Spacing spacing) {
  auto& first = rules.state().marks[object ? 0 : 1][static_cast<size_t>(spacing)];
  if (first == 0) {
    TermPool& terms = rules.terms();
    const Term none = terms.empty();
    const Term space = spacing == Spacing::flexible ? flexible_space(terms) : none;
    const Term behind = spacing == Spacing::single ? terms.literal(" ") : space;
    const auto add = [&](Term before, std::string_view mark, Term after) {
      // A mark without choice is a literal: its tokens are then counted as the vocabulary spells them.
      const Term whole = terms.concat({before, terms.literal(mark), after});
      if (spacing == Spacing::compact) return rules.literal(mark);
      if (spacing == Spacing::single) return rules.literal(std::string(mark) + (after == none ? "" : " "));
      return rules.text(whole, Encoding::utf8);
    };
    first = add(none, object ? "{" : "[", space);
    add(space, ":", behind);
    add(space, ",", behind);
    add(space, object ? "}" : "]", none);
    add(none, object ? "}" : "]", none);
  }
  return {first, first + 1, first + 2, first + 3, first + 4};
}

}  // namespace

RuleId Rules::object(ObjectRule object, Spacing spacing) {
  ObjectBody body;
  body.marks = punctuation(*this, true, spacing);
  std::vector<std::pair<std::string, uint32_t>> keys;
  body.plain = object.needs == 0 && object.min_members == 0 && !object.max_members;
  for (uint32_t i = 0; i < object.members.size(); ++i) {
    keys.emplace_back(json_quoted(object.members[i].name), i);
    body.plain &= object.members[i].requires_.empty();
  }
  std::sort(keys.begin(), keys.end());
  for (auto& [key, index] : keys) {
    CHECK(body.keys.texts.empty() || body.keys.texts.back() != key);
    body.keys.texts.push_back(std::move(key));
    body.members.push_back(index);
  }
  body.rule = std::move(object);
  Rule rule = make_rule(Rule::Kind::object);
  rule.index = static_cast<uint32_t>(state_->objects.size());
  state_->objects.push_back(std::move(body));
  return state_->add(std::move(rule));
}

RuleId Rules::array(ArrayRule array, Spacing spacing) {
  CHECK(array.counters.size() <= 64);
  Rule rule = make_rule(Rule::Kind::array);
  rule.index = static_cast<uint32_t>(state_->arrays.size());
  const Punctuation marks = punctuation(*this, false, spacing);
  state_->arrays.push_back({std::move(array), marks});
  return state_->add(std::move(rule));
}

RuleId Rules::declare() { return state_->add(make_rule(Rule::Kind::alias)); }

void Rules::define(RuleId declared, RuleId body) {
  Rule& rule = state_->rules.at(declared);
  CHECK(rule.kind == Rule::Kind::alias && rule.index == 0 && declared != 0);
  rule.index = body;
  rule.min = 1;  // defined
}

}  // namespace lancet
