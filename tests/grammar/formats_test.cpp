// Formats by examples, by the official test suite where it is installed, and by walks that must never get stuck.
#include "grammar/formats.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "base/utf8.h"

namespace lancet {
namespace {

bool conforms(std::string_view format, std::string_view text) {
  TermPool pool;
  Budget budget("test");
  return pool.matches(format_term(pool, format, budget), text, budget);
}

struct Examples {
  std::vector<std::string> good, bad;
};

const std::map<std::string, Examples>& examples() {
  static const std::map<std::string, Examples> all = {
      {"date",
       {{"2024-02-29", "2000-02-29", "1999-12-31", "0001-01-01", "9999-04-30"},
        {"2023-02-29", "1900-02-29", "2023-02-30", "2024-04-31", "2024-13-01", "2024-00-10", "0000-01-01", "24-01-01",
         "2024-1-1", "2024-01-01T"}}},
      {"time",
       {{"00:00:00Z", "23:59:59.999+23:59", "12:00:00z", "23:59:60Z", "15:59:60.5-08:00", "00:29:60-23:30"},
        {"24:00:00Z", "12:60:00Z", "12:00:00", "12:00:61Z", "12:00:60Z", "23:59:60+01:00", "12:00:00+24:00",
         "12:00:00.Z"}}},
      {"date-time",
       {{"2024-02-29T12:00:00Z", "1985-04-12t23:20:50.52z", "1996-12-19T16:39:57-08:00", "1998-12-31T23:59:60Z"},
        {"2023-02-29T12:00:00Z", "2024-02-29 12:00:00Z", "2024-02-29T12:00:00", "2024-02-29T12:00Z"}}},
      {"duration",
       {{"P1Y", "P1Y2M3DT4H5M6S", "PT1H", "PT36H", "P2W", "P1M2D", "PT1M2S"},
        {"P", "PT", "P1", "1Y", "P1H", "PT1D", "P1Y2D", "PT1H2S", "P1W2D", "P1DT", "P1.5D", "-P1D"}}},
      {"email",
       {{"a@b", "joe.bloggs@example.com", "\"joe bloggs\"@example.com", "x+y@[127.0.0.1]", "x@[IPv6:::1]"},
        {"a", "@b", "a@", ".a@b", "a.@b", "a..b@c", "a b@c", "a@-b", "a@b-", "a@b..c", "a@[127.0.0.300]", "a@b@c",
         "\u00e9@b"}}},
      {"idn-email", {{"\uc2e4\ub840@\uc2e4\ub840.\ud14c\uc2a4\ud2b8", "a@b"}, {"a", "\uc2e4@", "\uc2e4 a@b"}}},
      {"hostname",
       {{"a", "example.com", "a-b.c", "1.2.3", "a--b", "a-b-c", std::string(63, 'a') + ".b"},
        {"", "-a", "a-", "a..b", ".a", "a.", "a_b", "xn--abc", "ab--c", std::string(64, 'a'),
         std::string(63, 'a') + "." + std::string(63, 'b') + "." + std::string(63, 'c') + "." + std::string(63, 'd')}}},
      {"ipv4",
       {{"0.0.0.0", "255.255.255.255", "192.168.1.10"}, {"256.0.0.1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.4 "}}},
      {"ipv6",
       {{"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "fe80::1:2", "::ffff:1.2.3.4",
         "1:2:3:4:5:6:1.2.3.4"},
        {"", ":", ":::", "1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "fe80::1%eth0", "::1.2.3",
         "1:2:3:4:5:6:7:1.2.3.4"}}},
      {"uri",
       {{"http://a/b?c#d", "urn:a:b", "mailto:a@b.c", "http://u:p@[::1]:80/", "file:///etc", "a:", "x:/%20"},
        {"", "abc", "/abc", "//a/b", "http://a b", "http://a/%2", "1a:b", "http://a:b/", "http://[::1", "a:\u00e9",
         "a:b#c#d"}}},
      {"uri-reference", {{"", "abc", "/abc", "//a/b", "?q", "#f", "./a:b", "a:b"}, {"1:b", "\\", "a b", "#a#b", "%"}}},
      {"iri", {{"http://\u0192\u00f8\u00f8.\u00df\u00e5r/?\ue000", "a:b"}, {"\u00e2", "a:\ue000", "a:\u0080"}}},
      {"iri-reference", {{"\u00e2\u03c0\u03c0", "", "#\u0192"}, {"\\\\w", "a\u00a0 b"}}},
      {"uuid",
       {{"2eb8aa08-AA98-11ea-b4aa-73b441d16380"},
        {"2eb8aa08aa9811eab4aa73b441d16380", "2eb8aa08-aa98-11ea-b4aa-73b441d1638", "{2eb8aa08-aa98-11ea-b4aa}"}}},
      {"uri-template",
       {{"", "/a/{b}", "{+a,b*,c:12}", "{?x.y}", "a%41", "\u00e9"},
        {"{", "}", "{}", "{a", "{a:0}", "{a,}", "a b", "%"}}},
      {"json-pointer", {{"", "/", "/a/b", "/~0~1", "/\u00e9//"}, {"a", "/~", "/~2", "#/a"}}},
      {"relative-json-pointer", {{"0", "1/a", "10#", "0/"}, {"", "01", "/a", "-1", "0a", "0#/"}}},
  };
  return all;
}

TEST(Formats, ExamplesAreAcceptedAndRefused) {
  for (const auto& [format, texts] : examples()) {
    for (const std::string& text : texts.good) EXPECT_TRUE(conforms(format, text)) << format << " " << text;
    for (const std::string& text : texts.bad) EXPECT_FALSE(conforms(format, text)) << format << " " << text;
  }
  for (std::string_view name : enforced_formats()) EXPECT_EQ(examples().count(std::string(name)), 1U) << name;
}

TEST(Formats, UnknownNamesAreAnnotationsAndIrregularOnesRefused) {
  for (std::string_view name : enforced_formats()) EXPECT_EQ(format_support(name), FormatSupport::enforced);
  for (const char* name : {"color", "int32", "grid", "", "DATE"}) {
    EXPECT_EQ(format_support(name), FormatSupport::annotation);
  }
  for (const char* name : {"regex", "idn-hostname"}) EXPECT_EQ(format_support(name), FormatSupport::refused);
}

TEST(Formats, DatesAreExactlyThoseOfTheCalendar) {
  TermPool pool;
  Budget budget("test");
  const Term date = format_term(pool, "date", budget);
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  for (int year : {1, 4, 99, 100, 400, 1600, 1900, 1999, 2000, 2004, 2023, 2024, 2100, 9996, 9999}) {
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    for (int month = 0; month <= 13; ++month) {
      for (int day = 0; day <= 32; ++day) {
        char text[32];
        std::snprintf(text, sizeof text, "%04d-%02d-%02d", year, month, day);
        const bool in_year = month >= 1 && month <= 12 && day >= 1;
        const bool valid = in_year && day <= kDays[month - 1] + (month == 2 && leap);
        ASSERT_EQ(pool.matches(date, text, budget), valid) << text;
      }
    }
  }
}

TEST(Formats, LeapSecondsAreThoseOfTheLastMinuteInUtc) {
  TermPool pool;
  Budget budget("test");
  const Term time = format_term(pool, "time", budget);
  for (int local = 0; local < 24 * 60; local += 7) {
    for (int offset = -(24 * 60) + 1; offset < 24 * 60; ++offset) {
      char text[32];
      std::snprintf(text, sizeof text, "%02d:%02d:60%c%02d:%02d", local / 60, local % 60, offset < 0 ? '-' : '+',
                    std::abs(offset) / 60, std::abs(offset) % 60);
      const int utc = (local - offset + 2 * 24 * 60) % (24 * 60);
      ASSERT_EQ(pool.matches(time, text, budget), utc == 24 * 60 - 1) << text;
    }
  }
}

TEST(Formats, EveryWalkCanBeFinished) {
  for (std::string_view format : enforced_formats()) {
    TermPool pool;
    Budget budget("test", {.steps = 20'000'000});
    const Term start = format_term(pool, format, budget);
    Random random(3);
    for (int walk = 0; walk < 100; ++walk) {
      std::string text;
      Term at = start;
      for (uint64_t left = random.below(40); left > 0; --left) {
        const auto steps = pool.steps(at, budget);
        if (steps.empty()) break;
        const TermPool::Step step = steps[random.below(steps.size())];
        utf8_append(text, step.first + static_cast<char32_t>(random.below(step.last - step.first + 1)));
        at = step.to;
      }
      const std::optional<std::string> rest = pool.shortest(at, budget);
      ASSERT_TRUE(rest.has_value()) << format << " " << text;
      ASSERT_EQ(rest->size() == 0, pool.nullable(at));
      ASSERT_TRUE(pool.matches(start, text + *rest, budget)) << format << " " << text + *rest;
    }
    EXPECT_LT(pool.bytes(), size_t{16} << 20) << format;
  }
}

TEST(Formats, ComplementsHoldTheRest) {
  for (const auto& [format, texts] : examples()) {
    TermPool pool;
    Budget budget("test");
    const Term others = pool.complement(format_term(pool, format, budget));
    for (const std::string& text : texts.good) EXPECT_FALSE(pool.matches(others, text, budget)) << format << text;
    for (const std::string& text : texts.bad) EXPECT_TRUE(pool.matches(others, text, budget)) << format << text;
    EXPECT_FALSE(pool.is_empty(others, budget));
  }
}

/// The official test suite's folder: $LANCET_JSON_SCHEMA_SUITE, or where Debian's package has it.
std::filesystem::path suite() {
  const char* named = std::getenv("LANCET_JSON_SCHEMA_SUITE");
  return named != nullptr ? named : "/usr/share/json-schema-test-suite/tests";
}

/// Values that the suite calls valid and that are narrowed on purpose: encoded international labels (formats.cpp).
bool narrowed(const std::string& format, std::string_view text) {
  return format == "hostname" && text.find("xn--") != std::string_view::npos;
}

TEST(Formats, TheOfficialSuiteAgrees) {
  int compared = 0;
  for (const char* draft : {"draft7", "draft2019-09", "draft2020-12"}) {
    const std::filesystem::path folder = suite() / draft / "optional" / "format";
    for (std::string_view name : enforced_formats()) {
      const std::string format(name);
      std::ifstream file(folder / (format + ".json"));
      if (!file) continue;
      std::stringstream text;
      text << file.rdbuf();
      Budget budget("test");
      const boost::json::value groups = parse_json(text.str(), format, {}, budget);
      TermPool pool;
      const Term term = format_term(pool, format, budget);
      for (const boost::json::value& group : groups.as_array()) {
        for (const boost::json::value& test : group.at("tests").as_array()) {
          if (!test.at("data").is_string()) continue;
          const std::string data(test.at("data").as_string());
          const bool valid = test.at("valid").as_bool();
          if (valid && narrowed(format, data)) continue;
          EXPECT_EQ(pool.matches(term, data, budget), valid)
              << draft << " " << format << " " << quoted(data) << " " << test.at("description").as_string().c_str();
          ++compared;
        }
      }
    }
  }
  if (compared == 0) GTEST_SKIP() << "DID NOT RUN: LANCET_JSON_SCHEMA_SUITE does not name the suite's folder of tests";
}

}  // namespace
}  // namespace lancet
