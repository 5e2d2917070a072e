#include "grammar/char_set.h"

#include <algorithm>

namespace lancet {

namespace {

constexpr char32_t kLast = 0x10FFFF, kFirstSurrogate = 0xD800, kLastSurrogate = 0xDFFF;

/// Appends a range without surrogates to ranges whose order of `first` it keeps.
void append(std::vector<CharRange>& out, CharRange range) {
  if (range.first > kLast || range.first > range.last) return;
  range.last = std::min(range.last, kLast);
  if (range.first <= kLastSurrogate && range.last >= kFirstSurrogate) {
    CharRange tail{kLastSurrogate + 1, range.last};
    if (range.first < kFirstSurrogate) append(out, {range.first, kFirstSurrogate - 1});
    if (tail.first <= tail.last) append(out, tail);
    return;
  }
  if (!out.empty() && range.first <= out.back().last + 1) {
    out.back().last = std::max(out.back().last, range.last);
  } else {
    out.push_back(range);
  }
}

}  // namespace

CharSet::CharSet(std::vector<CharRange> ranges) {
  std::sort(ranges.begin(), ranges.end());
  for (const CharRange& range : ranges) append(ranges_, range);
}

CharSet CharSet::all() { return CharSet({{0, kLast}}); }

CharSet CharSet::of(std::u32string_view chars) {
  std::vector<CharRange> ranges;
  for (char32_t c : chars) ranges.push_back({c, c});
  return CharSet(std::move(ranges));
}

bool CharSet::contains(char32_t c) const {
  auto after =
      std::upper_bound(ranges_.begin(), ranges_.end(), c, [](char32_t x, const CharRange& r) { return x < r.first; });
  return after != ranges_.begin() && c <= std::prev(after)->last;
}

CharSet CharSet::operator|(const CharSet& other) const {
  std::vector<CharRange> sorted(ranges_.size() + other.ranges_.size());
  std::merge(ranges_.begin(), ranges_.end(), other.ranges_.begin(), other.ranges_.end(), sorted.begin());
  CharSet out;
  for (const CharRange& range : sorted) append(out.ranges_, range);
  return out;
}

CharSet CharSet::operator&(const CharSet& other) const {
  CharSet out;
  for (size_t i = 0, j = 0; i < ranges_.size() && j < other.ranges_.size();) {
    const CharRange &a = ranges_[i], &b = other.ranges_[j];
    append(out.ranges_, {std::max(a.first, b.first), std::min(a.last, b.last)});
    if (a.last < b.last) {
      ++i;
    } else {
      ++j;
    }
  }
  return out;
}

CharSet CharSet::operator~() const {
  CharSet out;
  char32_t from = 0;
  for (const CharRange& range : ranges_) {
    if (range.first > from) append(out.ranges_, {from, range.first - 1});
    from = range.last + 1;
  }
  append(out.ranges_, {from, kLast});
  return out;
}

}  // namespace lancet
