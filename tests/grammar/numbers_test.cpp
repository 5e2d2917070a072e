// Number terms against exact arithmetic on thousands of numerals.
#include "grammar/numbers.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/random.h"

namespace lancet {
namespace {

/// A numeral of up to four digits on each side, and its value in ten-thousandths.
struct Numeral {
  std::string text;
  int64_t value = 0;
};

Numeral random_numeral(Random& random, uint64_t most) {
  const bool negative = random.below(2);
  const uint64_t whole = random.below(random.below(2) ? most : most / 20 + 1);
  std::string text = (negative ? "-" : "") + std::to_string(whole);
  int64_t value = static_cast<int64_t>(whole) * 10000;
  const uint64_t places = random.below(5);
  if (places > 0) text += '.';
  int64_t unit = 1000;
  for (uint64_t i = 0; i < places; ++i, unit /= 10) {
    const uint64_t digit = random.below(3) ? 5 * random.below(2) : random.below(10);
    text += static_cast<char>('0' + digit);
    value += static_cast<int64_t>(digit) * unit;
  }
  return {text, negative ? -value : value};
}

bool in_set(const NumberSet& set, int64_t value, std::optional<int64_t> min, std::optional<int64_t> max,
            const std::vector<int64_t>& multiples) {
  if (set.integer && value % 10000 != 0) return false;
  if (min && (set.min->exclusive ? value <= *min : value < *min)) return false;
  if (max && (set.max->exclusive ? value >= *max : value > *max)) return false;
  return std::all_of(multiples.begin(), multiples.end(), [&](int64_t m) { return value % m == 0; });
}

TEST(Numbers, RandomSetsHoldExactlyTheNumeralsOfTheirValues) {
  Random random(7);
  for (int round = 0; round < 150; ++round) {
    NumberSet set{.integer = random.below(3) == 0};
    std::optional<int64_t> min, max;
    std::vector<int64_t> multiples;
    if (random.below(2)) {
      const Numeral bound = random_numeral(random, 1200);
      min = bound.value;
      set.min = {bound.text, random.below(2) == 0};
    }
    if (random.below(2)) {
      const Numeral bound = random_numeral(random, 1200);
      max = bound.value;
      set.max = {bound.text, random.below(2) == 0};
    }
    for (uint64_t n = random.below(3); n > 0; --n) {
      Numeral factor = random_numeral(random, random.below(2) ? 4 : 40);
      if (factor.value <= 0) continue;
      multiples.push_back(factor.value);
      set.multiple_of.push_back(factor.text);
    }
    TermPool pool;
    Budget budget("test");
    Term term;
    try {
      term = number_term(pool, set, budget);
    } catch (const Error& error) {
      ASSERT_EQ(error.fault(), Fault::unsupported) << error.message();
      continue;
    }
    const Term others = pool.both({number_universe(pool), pool.complement(term)});
    for (int i = 0; i < 400; ++i) {
      Numeral numeral = random_numeral(random, 2000);
      if (min && i % 7 == 0) numeral = {set.min->value, *min};
      if (max && i % 7 == 1) numeral = {set.max->value, *max};
      if (!multiples.empty() && i % 7 == 2) {
        const int64_t value = multiples[0] * static_cast<int64_t>(random.below(50));
        std::string fraction = std::to_string(10000 + value % 10000).substr(1);
        numeral = {std::to_string(value / 10000) + "." + fraction, value};
      }
      const bool expected = in_set(set, numeral.value, min, max, multiples);
      ASSERT_EQ(pool.matches(term, numeral.text, budget), expected)
          << numeral.text << " min " << (min ? set.min->value : "-") << " max " << (max ? set.max->value : "-")
          << " multiples " << (multiples.empty() ? "-" : set.multiple_of[0]);
      ASSERT_EQ(pool.matches(others, numeral.text, budget), !expected) << numeral.text;
    }
  }
}

bool holds(const NumberSet& set, std::string_view numeral) {
  TermPool pool;
  Budget budget("test");
  return pool.matches(number_term(pool, set, budget), numeral, budget);
}

TEST(Numbers, NumeralsAreThoseOfJsonWithoutExponent) {
  for (const char* numeral : {"0", "-0", "0.0", "-0.10", "10", "123456789012345678901234567890", "1.50"}) {
    EXPECT_TRUE(holds({}, numeral)) << numeral;
  }
  for (const char* numeral : {"", "-", "00", "01", "-01", "1.", ".5", "+1", "1e3", "1 ", "0x1", "1.5.5", "--1"}) {
    EXPECT_FALSE(holds({}, numeral)) << numeral;
  }
  TermPool pool;
  Budget budget("test");
  const Term any = any_number(pool);
  for (const char* numeral : {"0", "1e3", "-1.5E+10", "0e-0"}) EXPECT_TRUE(pool.matches(any, numeral, budget));
  for (const char* numeral : {"1e", "e3", "1e+", "1e1.5"}) EXPECT_FALSE(pool.matches(any, numeral, budget));
}

TEST(Numbers, BoundsAreReadWithTheirExponents) {
  EXPECT_TRUE(holds({.min = NumberBound{"1e3"}}, "1000"));
  EXPECT_FALSE(holds({.min = NumberBound{"1e3"}}, "999.999"));
  EXPECT_TRUE(holds({.max = NumberBound{"0.5e-2"}}, "0.0050"));
  EXPECT_FALSE(holds({.max = NumberBound{"0.5e-2"}}, "0.0051"));
  EXPECT_TRUE(holds({.max = NumberBound{"1.7976931348623157e308"}}, std::string(309, '1')));
  EXPECT_FALSE(holds({.max = NumberBound{"1.7976931348623157e308"}}, std::string(309, '2')));
  EXPECT_TRUE(holds({.min = NumberBound{"-0"}, .max = NumberBound{"0e9"}}, "-0.00"));
  EXPECT_TRUE(holds({.min = NumberBound{"9007199254740993"}}, "9007199254740993"));
  EXPECT_FALSE(holds({.min = NumberBound{"9007199254740993"}}, "9007199254740992"));
}

TEST(Numbers, MultiplesOfDecimalsPowersAndManyAtOnce) {
  EXPECT_TRUE(holds({.multiple_of = {"0.01"}}, "19.99"));
  EXPECT_TRUE(holds({.multiple_of = {"0.01"}}, "19.990"));
  EXPECT_FALSE(holds({.multiple_of = {"0.01"}}, "19.999"));
  EXPECT_TRUE(holds({.multiple_of = {"1e9"}}, "-3000000000.0"));
  EXPECT_FALSE(holds({.multiple_of = {"1e9"}}, "300000000"));
  EXPECT_TRUE(holds({.multiple_of = {"86400"}}, "172800"));
  EXPECT_FALSE(holds({.multiple_of = {"86400"}}, "172801"));
  EXPECT_TRUE(holds({.multiple_of = {"65536"}}, "4294967296"));
  EXPECT_TRUE(holds({.integer = true, .multiple_of = {"0.3", "2", "7"}}, "42"));
  EXPECT_FALSE(holds({.integer = true, .multiple_of = {"0.3", "2", "7"}}, "14"));
  EXPECT_TRUE(holds({.multiple_of = {"2.5"}}, "7.5"));
  EXPECT_TRUE(holds({.multiple_of = {"3000"}}, "0"));
  EXPECT_TRUE(holds({.multiple_of = {"3000"}}, "9000"));
  EXPECT_FALSE(holds({.multiple_of = {"3000"}}, "1000"));
}

TEST(Numbers, ContradictionsAreEmptyAndEqualSetsAreEqualTerms) {
  TermPool pool;
  Budget budget("test");
  EXPECT_EQ(number_term(pool, {.min = NumberBound{"2"}, .max = NumberBound{"1"}}, budget), pool.nothing());
  EXPECT_EQ(number_term(pool, {.integer = true, .min = NumberBound{"1.2"}, .max = NumberBound{"1.8"}}, budget),
            pool.nothing());
  EXPECT_EQ(number_term(pool, {.integer = true, .min = NumberBound{"0.5"}}, budget),
            number_term(pool, {.integer = true, .min = NumberBound{"0", true}}, budget));
}

TEST(Numbers, TooLargeAutomataAndIllFormedNumeralsAreRefused) {
  auto fault = [](const NumberSet& set) {
    TermPool pool;
    Budget budget("test");
    try {
      number_term(pool, set, budget);
    } catch (const Error& error) {
      return error.fault();
    }
    return Fault::internal;
  };
  EXPECT_EQ(fault({.multiple_of = {"1234567"}}), Fault::unsupported);
  EXPECT_EQ(fault({.multiple_of = {"99991"}}), Fault::unsupported);
  EXPECT_EQ(fault({.min = NumberBound{"1e401"}}), Fault::unsupported);
  EXPECT_EQ(fault({.min = NumberBound{"1e99999999999999999999"}}), Fault::unsupported);
  EXPECT_EQ(fault({.min = NumberBound{"0x1"}}), Fault::bad_request);
  EXPECT_EQ(fault({.min = NumberBound{"01"}}), Fault::bad_request);
  EXPECT_EQ(fault({.multiple_of = {"0"}}), Fault::bad_request);
  EXPECT_EQ(fault({.multiple_of = {"-1"}}), Fault::bad_request);
}

}  // namespace
}  // namespace lancet
