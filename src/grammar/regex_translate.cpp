// The tree of a regular expression -> a term, anchors and look-ahead exactly.
//
// Whether ^ and $ hold depends on where a part stands, so a part has four languages: what it matches with its first
// character at the beginning of the text or not, and its last at the end of the text or not. Anchors only ever permit
// more, hence the language "not at an edge" is contained in the others; the cases below rely on it.
//
// Look-ahead speaks of all the text that follows. Therefore parts that contain one are translated together with what
// follows them, from the end of the pattern to its beginning: (?=x)y is the intersection of x.* and y.
#include <array>

#include "grammar/regex_ast.h"

namespace lancet {

namespace {

using Kind = RegexNode::Kind;

constexpr uint64_t kExpanded = 16;  // a part with look-ahead may be repeated so often

class Translation {
 public:
  Translation(TermPool& pool, const RegexTree& tree, std::string_view pattern, Budget& budget)
      : pool_(pool), tree_(tree), pattern_(pattern), budget_(budget) {}

  Term whole() {
    const RegexNode& root = node(tree_.root);
    if (!root.looks) return parts_of(tree_.root)[1][1];
    return before(tree_.root, {pool_.empty(), pool_.empty()})[1];
  }
  Term search() {
    const Rest any{pool_.anything(), pool_.anything()};
    const Rest found = before(tree_.root, any);
    const Term later = pool_.concat({pool_.anything(), found[0]});
    return found[0] == found[1] ? later : pool_.either({found[1], later});
  }

 private:
  /// [at the beginning of the text][at its end]
  using Four = std::array<std::array<Term, 2>, 2>;
  /// What follows a position up to the end of the text, by whether it is the beginning.
  using Rest = std::array<Term, 2>;

  const RegexNode& node(uint32_t id) const { return tree_.nodes[id]; }
  static Four same(Term t) { return {{{t, t}, {t, t}}}; }
  bool nullable(Term t) const { return pool_.nullable(t); }

  Term plain(uint32_t id) {
    const RegexNode& n = node(id);
    budget_.step();
    std::vector<Term> terms;
    for (uint32_t part : n.parts) terms.push_back(plain(part));
    switch (n.kind) {
      case Kind::chars: return n.term;
      case Kind::concat: return pool_.concat(terms);
      case Kind::alternate: return pool_.either(terms);
      default: return pool_.repeat(terms[0], n.min, n.max == kUnbounded ? std::nullopt : std::optional(n.max));
    }
  }

  /// The four languages of a part without look-ahead.
  Four parts_of(uint32_t id) {
    const RegexNode& n = node(id);
    budget_.step();
    if (!n.anchored) return same(plain(id));
    const Term yes = pool_.empty(), no = pool_.nothing();
    switch (n.kind) {
      case Kind::begin: return {{{no, no}, {yes, yes}}};
      case Kind::end: return {{{no, yes}, {no, yes}}};
      case Kind::alternate: {
        std::vector<Four> all;
        for (uint32_t part : n.parts) all.push_back(parts_of(part));
        return each([&](int b, int e) {
          std::vector<Term> terms;
          for (const Four& four : all) terms.push_back(four[b][e]);
          return pool_.either(terms);
        });
      }
      case Kind::concat: return concat(n);
      default: return repeat(n);
    }
  }

  template <typename F>
  static Four each(F f) {
    Four out;
    for (int b = 0; b < 2; ++b) {
      for (int e = 0; e < 2; ++e) out[b][e] = f(b, e);
    }
    return out;
  }

  Four concat(const RegexNode& n) {
    // Runs without anchors are joined first, so that a long literal stays one term.
    Four out = same(pool_.empty());
    std::vector<Term> run;
    bool any = false;
    auto append = [&](const Four& next) {
      out = any ? pair(out, next) : next;
      any = true;
    };
    auto end_run = [&] {
      if (!run.empty()) append(same(pool_.concat(run)));
      run.clear();
    };
    for (uint32_t part : n.parts) {
      if (!node(part).anchored) {
        run.push_back(plain(part));
      } else {
        end_run();
        append(parts_of(part));
      }
    }
    end_run();
    return out;
  }

  Four pair(const Four& x, const Four& y) {
    return each([&](int b, int e) {
      std::vector<Term> terms{pool_.concat({x[b][0], y[0][e]})};
      const bool x_end = x[b][e] != x[b][0], y_begin = y[b][e] != y[0][e];
      if (x_end && nullable(y[0][e])) terms.push_back(x[b][e]);
      if (y_begin && nullable(x[b][0])) terms.push_back(y[b][e]);
      if ((x_end || y_begin) && nullable(x[b][e]) && nullable(y[b][e])) terms.push_back(pool_.empty());
      return pool_.either(terms);
    });
  }

  /// Rounds that match nothing may stand wherever the anchors let them, and then count towards the minimum.
  Four repeat(const RegexNode& n) {
    const Four x = parts_of(n.parts[0]);
    if (n.max == 0) return same(pool_.empty());
    return each([&](int b, int e) {
      const bool padded = nullable(x[b][0]) || nullable(x[0][e]);
      const uint64_t min = padded ? 0 : n.min;
      std::vector<Term> terms;
      if (n.min == 0) terms.push_back(pool_.empty());
      if (nullable(x[b][e])) terms.push_back(pool_.empty());
      if (min <= 1) terms.push_back(x[b][e]);
      if (n.max >= 2) {
        const auto max = n.max == kUnbounded ? std::nullopt : std::optional(n.max - 2);
        const Term inner = pool_.repeat(x[0][0], std::max<uint64_t>(min, 2) - 2, max);
        terms.push_back(pool_.concat({x[b][0], inner, x[0][e]}));
      }
      return pool_.either(terms);
    });
  }

  /// What a part and the rest behind it match together.
  Rest before(uint32_t id, Rest rest) {
    const RegexNode& n = node(id);
    budget_.step();
    if (!n.looks && n.kind != Kind::concat && n.kind != Kind::alternate) return join(parts_of(id), rest);
    switch (n.kind) {
      case Kind::alternate: {
        if (!n.looks && !n.anchored) return join(same(plain(id)), rest);
        std::vector<Term> inner, first;
        for (uint32_t part : n.parts) {
          const Rest found = before(part, rest);
          inner.push_back(found[0]);
          first.push_back(found[1]);
        }
        return {pool_.either(inner), pool_.either(first)};
      }
      case Kind::concat: return concat_before(n, rest);
      case Kind::ahead:
      case Kind::not_ahead: return look(n, rest);
      default: return repeat_before(n, rest);
    }
  }

  Rest concat_before(const RegexNode& n, Rest rest) {
    for (size_t i = n.parts.size(); i > 0;) {
      size_t start = i;
      std::vector<Term> run;
      while (start > 0 && !node(n.parts[start - 1]).looks && !node(n.parts[start - 1]).anchored) --start;
      for (size_t k = start; k < i; ++k) run.push_back(plain(n.parts[k]));
      if (!run.empty()) rest = join(same(pool_.concat(run)), rest);
      i = start;
      if (i > 0) rest = before(n.parts[--i], rest);
    }
    return rest;
  }

  Rest join(const Four& x, const Rest& rest) {
    Rest out;
    for (int b = 0; b < 2; ++b) {
      std::vector<Term> terms{pool_.concat({x[b][0], rest[0]})};
      if (x[b][1] != x[b][0] && nullable(rest[0])) terms.push_back(x[b][1]);
      if (rest[b] != rest[0] && nullable(x[b][0])) terms.push_back(rest[b]);
      if (nullable(x[b][1]) && nullable(rest[b])) terms.push_back(pool_.empty());
      out[b] = pool_.either(terms);
    }
    return out;
  }

  Rest look(const RegexNode& n, const Rest& rest) {
    const Rest any{pool_.anything(), pool_.anything()};
    Rest seen = before(n.parts[0], any);
    if (n.kind == Kind::not_ahead) {
      if (seen[0] != seen[1]) refuse("has \"^\" in a negative look-ahead, which is not supported,", n.offset);
      for (Term& t : seen) t = pool_.complement(t);
    }
    return {pool_.both({seen[0], rest[0]}), pool_.both({seen[1], rest[1]})};
  }

  Rest repeat_before(const RegexNode& n, const Rest& rest) {
    if (n.max > kExpanded) refuse("repeats a look-ahead, which is not supported,", n.offset);
    Rest out = rest;
    for (uint64_t i = n.max; i > 0; --i) {
      const Rest found = before(n.parts[0], out);
      for (int b = 0; b < 2; ++b) out[b] = i > n.min ? pool_.either({rest[b], found[b]}) : found[b];
    }
    return out;
  }

  [[noreturn]] void refuse(std::string_view what, size_t offset) const {
    throw pattern_error(Fault::unsupported, pattern_, what, offset);
  }

  TermPool& pool_;
  const RegexTree& tree_;
  std::string_view pattern_;
  Budget& budget_;
};

}  // namespace

Term translate_regex(TermPool& pool, const RegexTree& tree, std::string_view pattern, RegexUse use, Budget& budget) {
  Translation translation(pool, tree, pattern, budget);
  return use == RegexUse::whole ? translation.whole() : translation.search();
}

}  // namespace lancet
