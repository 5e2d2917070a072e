// Formats of JSON Schema 2020-12 as regular languages. Each pattern is the grammar of the document that the standard
// names, written as a regular expression: RFC 3339 (dates, times, durations), RFC 5321 and 6531 (mail), RFC 1123
// (hosts), RFC 3986 and 3987 (URI, IRI), RFC 4122, RFC 6570, RFC 6901.
//
// Narrower than the documents, on purpose: the year 0000, which common parsers refuse; host names with "--" in the
// third and fourth place of a label, among them the encoded international ones, whose validity is not regular.
#include "grammar/formats.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "grammar/regex_syntax.h"

namespace lancet {

namespace {

using std::string;

/// Alternatives as one group.
string any_of(std::initializer_list<string> parts) {
  string out = "(?:";
  for (const string& part : parts) out += (out.size() > 3 ? "|" : "") + part;
  return out + ")";
}

string maybe(const string& part) { return "(?:" + part + ")?"; }
string many(const string& part) { return "(?:" + part + ")*"; }

string date_pattern() {
  const string by_four = any_of({"0[48]", "[2468][048]", "[13579][26]"});
  const string leap = any_of({"[0-9]{2}" + by_four, by_four + "00"});
  const string year = any_of({"[0-9]{3}[1-9]", "[0-9]{2}[1-9]0", "[0-9][1-9]00", "[1-9]000"});
  const string day_28 = any_of({"0[1-9]", "1[0-9]", "2[0-8]"});
  const string month_day =
      any_of({any_of({"0[1-9]", "1[0-2]"}) + "-" + day_28, any_of({"0[13-9]", "1[0-2]"}) + "-(?:29|30)",
              any_of({"0[13578]", "1[02]"}) + "-31"});
  return any_of({year + "-" + month_day, leap + "-02-29"});
}

string clock_pattern() { return any_of({"[01][0-9]", "2[0-3]"}) + ":[0-5][0-9]"; }
string fraction_pattern() { return maybe("\\.[0-9]+"); }

string duration_pattern() {
  const string minutes = "[0-9]+M" + maybe("[0-9]+S");
  const string time = "T" + any_of({"[0-9]+H" + maybe(minutes), minutes, "[0-9]+S"});
  const string months = "[0-9]+M" + maybe("[0-9]+D");
  const string date = any_of({"[0-9]+D", months, "[0-9]+Y" + maybe(months)});
  return "P" + any_of({date + maybe(time), time, "[0-9]+W"});
}

string ipv4_pattern() {
  const string octet = any_of({"[0-9]", "[1-9][0-9]", "1[0-9]{2}", "2[0-4][0-9]", "25[0-5]"});
  return octet + "(?:\\." + octet + "){3}";
}

/// RFC 3986, appendix A.
string ipv6_pattern() {
  const string h = "[0-9A-Fa-f]{1,4}", hc = "(?:[0-9A-Fa-f]{1,4}:)";
  const string last = any_of({h + ":" + h, ipv4_pattern()});
  auto left = [&](int most) { return maybe(fmt::format("{}{{0,{}}}{}", hc, most, h)) + "::"; };
  return any_of({hc + "{6}" + last, "::" + hc + "{5}" + last, left(0) + hc + "{4}" + last, left(1) + hc + "{3}" + last,
                 left(2) + hc + "{2}" + last, left(3) + hc + last, left(4) + last, left(5) + h, left(6)});
}

constexpr std::string_view kAtext = "A-Za-z0-9!#$%&'*+/=?^_`{|}~\\-";
constexpr std::string_view kNotAscii = "\\u{80}-\\u{10FFFF}";

/// A mailbox; `more` are the characters that it may have besides ASCII, as members of a class.
string mail_pattern(std::string_view more) {
  const string atom = fmt::format("[{}{}]+", kAtext, more);
  const string quoted = fmt::format("\"(?:[ !#-\\[\\]-~{}]|\\\\[ -~])*\"", more);
  const string alnum = fmt::format("[A-Za-z0-9{}]", more);
  const string label = alnum + fmt::format("(?:[A-Za-z0-9\\-{}]{{0,61}}{})?", more, alnum);
  const string literal = "\\[" + any_of({ipv4_pattern(), "[Ii][Pp][Vv]6:" + ipv6_pattern()}) + "\\]";
  return any_of({atom + many("\\." + atom), quoted}) + "@" + any_of({label + many("\\." + label), literal});
}

string hostname_pattern() {
  const string a = "[A-Za-z0-9]", h = "[A-Za-z0-9\\-]";
  // Up to 63 characters; the third and fourth are not both hyphens.
  const string more = any_of({a, h + a, h + a + h + "{0,59}" + a, h + "-" + a, h + "-" + a + h + "{0,58}" + a});
  const string label = a + maybe(more);
  return label + many("\\." + label);
}

/// The characters of RFC 3987 beyond those of RFC 3986.
constexpr std::string_view kIriChars =
    "\\u{A0}-\\u{D7FF}\\u{F900}-\\u{FDCF}\\u{FDF0}-\\u{FFEF}\\u{10000}-\\u{1FFFD}\\u{20000}-\\u{2FFFD}\\u{30000}-"
    "\\u{3FFFD}\\u{40000}-\\u{4FFFD}\\u{50000}-\\u{5FFFD}\\u{60000}-\\u{6FFFD}\\u{70000}-\\u{7FFFD}\\u{80000}-"
    "\\u{8FFFD}\\u{90000}-\\u{9FFFD}\\u{A0000}-\\u{AFFFD}\\u{B0000}-\\u{BFFFD}\\u{C0000}-\\u{CFFFD}\\u{D0000}-"
    "\\u{DFFFD}\\u{E1000}-\\u{EFFFD}";
constexpr std::string_view kIriPrivate = "\\u{E000}-\\u{F8FF}\\u{F0000}-\\u{FFFFD}\\u{100000}-\\u{10FFFD}";
constexpr std::string_view kPercent = "%[0-9A-Fa-f]{2}";

/// RFC 3986 with `more` beside the unreserved characters and `query_more` in queries.
string uri_pattern(std::string_view more, std::string_view query_more, bool relative_too) {
  const string plain = fmt::format("A-Za-z0-9\\-._~{}!$&'()*+,;=", more);
  auto chars = [&](std::string_view extra) { return fmt::format("(?:[{}{}]|{})", plain, extra, kPercent); };
  const string host = any_of(
      {"\\[" + any_of({ipv6_pattern(), "[Vv][0-9A-Fa-f]+\\.[A-Za-z0-9\\-._~!$&'()*+,;=:]+"}) + "\\]", chars("") + "*"});
  const string authority = maybe(chars(":") + "*@") + host + maybe(":[0-9]*");
  const string pchar = chars(":@"), segments = many("/" + pchar + "*");
  const string rooted = any_of({"//" + authority + segments, "/" + maybe(pchar + "+" + segments)});
  const string tail =
      maybe("\\?" + chars(string(":@/?") + string(query_more)) + "*") + maybe("#" + chars(":@/?") + "*");
  const string absolute = "[A-Za-z][A-Za-z0-9+\\-.]*:" + maybe(any_of({rooted, pchar + "+" + segments})) + tail;
  if (!relative_too) return absolute;
  return any_of({absolute, maybe(any_of({rooted, chars("@") + "+" + segments})) + tail});
}

string uri_template_pattern() {
  const string literal =
      fmt::format("[!#$&'()*+,\\-./0-9:;=?@A-Z\\[\\]_a-z~{}{}]|{}", kIriChars, kIriPrivate, kPercent);
  const string varchar = fmt::format("(?:[A-Za-z0-9_]|{})", kPercent);
  const string spec = varchar + many("\\.?" + varchar) + maybe("\\*|:[1-9][0-9]{0,3}");
  return many(any_of({literal, "\\{[+#./;?&]?" + spec + many("," + spec) + "\\}"}));
}

string pointer_pattern() { return "(?:/(?:[^/~]|~[01])*)*"; }

string uuid_pattern() {
  const string x = "[0-9A-Fa-f]";
  return x + "{8}-" + x + "{4}-" + x + "{4}-" + x + "{4}-" + x + "{12}";
}

Term whole(TermPool& pool, const string& pattern, Budget& budget) {
  return parse_regex(pool, pattern, RegexUse::whole, budget);
}

/// hh:mm:60 with the offsets that make it 23:59:60 UTC: -(23-hh):(59-mm), or +hh:(mm+1), which carries in the last
/// minute of an hour. Hours and minutes are two conditions side by side, so that their pairs are not all written down.
Term leap_seconds(TermPool& pool, Term fraction, Budget& budget) {
  auto two = [&](int n) { return pool.literal(fmt::format("{:02}", n)); };
  const Term second = pool.concat({pool.literal(":60"), fraction}), colon = pool.literal(":");
  const Term plus = pool.literal("+"), minus = pool.literal("-"), minute = whole(pool, "[0-5][0-9]", budget);
  std::vector<Term> hours, minutes, last;
  for (int h = 0; h < 24; ++h) {
    const Term offset = pool.either({pool.concat({minus, two(23 - h)}), pool.concat({plus, two(h)})});
    hours.push_back(pool.concat({two(h), colon, minute, second, offset, colon, minute}));
    std::vector<Term> carried{pool.concat({minus, two(23 - h), pool.literal(":00")}),
                              pool.concat({plus, two((h + 1) % 24), pool.literal(":00")})};
    if (h == 23) carried.push_back(pool.chars(CharSet::of(U"Zz")));
    last.push_back(pool.concat({two(h), pool.literal(":59"), second, pool.either(carried)}));
  }
  const Term hour = whole(pool, "[0-2][0-9]", budget);
  for (int m = 0; m < 59; ++m) {
    const Term offset =
        pool.either({pool.concat({minus, hour, colon, two(59 - m)}), pool.concat({plus, hour, colon, two(m + 1)})});
    minutes.push_back(pool.concat({hour, colon, two(m), second, offset}));
  }
  return pool.either({pool.both({pool.either(hours), pool.either(minutes)}), pool.either(last)});
}

Term time_term(TermPool& pool, Budget& budget) {
  const Term fraction = whole(pool, fraction_pattern(), budget);
  const Term offset = whole(pool, any_of({"[Zz]", "[+\\-]" + clock_pattern()}), budget);
  const Term usual = whole(pool, clock_pattern() + ":[0-5][0-9]", budget);
  return pool.either({pool.concat({usual, fraction, offset}), leap_seconds(pool, fraction, budget)});
}

Term hostname_term(TermPool& pool, Budget& budget) {
  return pool.both({whole(pool, hostname_pattern(), budget), pool.repeat(pool.any_char(), 0, 253)});
}

struct Format {
  std::string_view name;
  Term (*make)(TermPool&, Budget&);
};

constexpr std::array<Format, 17> kFormats = {{
    {"date", [](TermPool& p, Budget& b) { return whole(p, date_pattern(), b); }},
    {"time", time_term},
    {"date-time",
     [](TermPool& p, Budget& b) {
       return p.concat({whole(p, date_pattern(), b), p.chars(CharSet::of(U"Tt")), time_term(p, b)});
     }},
    {"duration", [](TermPool& p, Budget& b) { return whole(p, duration_pattern(), b); }},
    {"email", [](TermPool& p, Budget& b) { return whole(p, mail_pattern(""), b); }},
    {"idn-email", [](TermPool& p, Budget& b) { return whole(p, mail_pattern(kNotAscii), b); }},
    {"hostname", hostname_term},
    {"ipv4", [](TermPool& p, Budget& b) { return whole(p, ipv4_pattern(), b); }},
    {"ipv6", [](TermPool& p, Budget& b) { return whole(p, ipv6_pattern(), b); }},
    {"uri", [](TermPool& p, Budget& b) { return whole(p, uri_pattern("", "", false), b); }},
    {"uri-reference", [](TermPool& p, Budget& b) { return whole(p, uri_pattern("", "", true), b); }},
    {"iri", [](TermPool& p, Budget& b) { return whole(p, uri_pattern(kIriChars, kIriPrivate, false), b); }},
    {"iri-reference", [](TermPool& p, Budget& b) { return whole(p, uri_pattern(kIriChars, kIriPrivate, true), b); }},
    {"uuid", [](TermPool& p, Budget& b) { return whole(p, uuid_pattern(), b); }},
    {"uri-template", [](TermPool& p, Budget& b) { return whole(p, uri_template_pattern(), b); }},
    {"json-pointer", [](TermPool& p, Budget& b) { return whole(p, pointer_pattern(), b); }},
    {"relative-json-pointer",
     [](TermPool& p, Budget& b) { return whole(p, "(?:0|[1-9][0-9]*)(?:#|" + pointer_pattern() + ")", b); }},
}};

const Format* find_format(std::string_view name) {
  const auto found = std::find_if(kFormats.begin(), kFormats.end(), [&](const Format& f) { return f.name == name; });
  return found == kFormats.end() ? nullptr : &*found;
}

}  // namespace

FormatSupport format_support(std::string_view name) {
  if (name == "regex" || name == "idn-hostname") return FormatSupport::refused;
  return find_format(name) != nullptr ? FormatSupport::enforced : FormatSupport::annotation;
}

Term format_term(TermPool& pool, std::string_view name, Budget& budget) {
  const Format* format = find_format(name);
  if (format == nullptr) throw Error(Fault::unsupported, "format " + quoted(name) + " is not enforced");
  return format->make(pool, budget);
}

std::vector<std::string_view> enforced_formats() {
  std::vector<std::string_view> names;
  for (const Format& format : kFormats) names.push_back(format.name);
  return names;
}

}  // namespace lancet
