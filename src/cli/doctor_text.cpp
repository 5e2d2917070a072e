#include "cli/doctor_text.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "checkpoint/stored_rows.h"
#include "cli/doctor_numbers.h"
#include "cli/doctor_sample.h"
#include "cli/model_flags.h"
#include "text/chat.h"

namespace lancet {
namespace {

constexpr std::string_view kSection = "text";
constexpr const char* kNewText =
    "download tokenizer and chat template again from the repository that the weights are of";
constexpr int kLargeVocabulary = 8000;       // tokens; below, a token is hardly more than a byte
constexpr double kLeastBytesPerToken = 2.5;  // of English in a large vocabulary: usual is 3.8 to 4.8
constexpr size_t kMostPairs = 1500;          // 37 MB of embeddings for the 3B model

constexpr auto kTemplateTime = std::chrono::seconds(10);  // of one prompt

// --- special ids

void judge_special(const Tokenizer& tokenizer, const char* name, std::optional<TokenId> id, Report& report) {
  if (!id || tokenizer.vocabulary().tokens[static_cast<size_t>(*id)].kind != Token::Kind::normal) return;
  report.problem(kSection, "special-ids",
                 fmt::format("the {} id {} is the ordinary token {}: prompts or answers will be cut in wrong places",
                             name, *id, quoted(tokenizer.bytes(*id))),
                 kNewText);
}

void examine_special_ids(const Tokenizer& tokenizer, Report& report) {
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  judge_special(tokenizer, "bos", vocabulary.bos, report);
  for (const TokenId id : vocabulary.end_of_generation) judge_special(tokenizer, "eos", id, report);
  if (vocabulary.end_of_generation.empty())
    report.problem(kSection, "special-ids", "no token ends an answer: answers will run on until their limit", kNewText);
}

// --- template

ChatMessage message(const char* role, const char* text) { return {.role = role, .content = {{.text = text}}}; }

constexpr const char *kUserText = "How many days has a week", *kAnswerText = "Seven of them",
                     *kSystemText = "Be brief now";

ChatMessage say(std::string_view role) {
  if (role == "system") return message("system", kSystemText);
  if (role == "user") return message("user", kUserText);
  if (role == "call") {
    ChatMessage call{.role = "assistant"};
    call.tool_calls.push_back({"abcdefgh1", "days", "{\"of\": \"week\"}"});
    return call;
  }
  if (role == "tool") {
    ChatMessage result = message("tool", "7");
    result.tool_call_id = "abcdefgh1";
    return result;
  }
  return message("assistant", kAnswerText);
}

Conversation conversation(std::initializer_list<std::string_view> roles, bool add_generation_prompt) {
  Conversation out;
  out.add_generation_prompt = add_generation_prompt;
  for (const std::string_view role : roles) out.messages.push_back(say(role));
  return out;
}

struct Sequence {
  std::initializer_list<std::string_view> roles;
  bool needed;  // a template that refuses it is of no use
};
const Sequence kSequences[] = {
    {{"user"}, true},
    {{"user", "assistant", "user"}, true},
    {{"system", "user"}, false},
    {{"user", "user"}, false},
    {{"user", "assistant", "assistant", "user"}, false},
    {{"user", "system", "user"}, false},
    {{"assistant", "user"}, false},
    {{"user", "call", "tool"}, false},
    {{"user", "call", "tool", "user"}, false},
};

std::string joined(const RenderedPrompt& prompt) {
  std::string text;
  for (const PromptPiece& piece : prompt.pieces) text += piece.text;
  return text;
}

/// What looks like a control token in a template's own text: <|word|>, [WORD], [/WORD], <s>, </s>.
std::vector<std::string> marker_texts(std::string_view text) {
  std::vector<std::string> found;
  const auto in = [](char c, std::string_view extra) {
    return (c >= 'A' && c <= 'Z') || c == '_' || extra.find(c) != std::string_view::npos;
  };
  constexpr std::string_view kLower = "abcdefghijklmnopqrstuvwxyz0123456789";
  for (size_t at = 0; at < text.size(); at++) {
    size_t end = at;
    if (text.substr(at).starts_with("<|")) {
      end = at + 2;
      while (end < text.size() && in(text[end], kLower)) end++;
      if (end == at + 2 || !text.substr(end).starts_with("|>")) continue;
      end += 2;
    } else if (text[at] == '[') {
      end = at + (text.substr(at + 1).starts_with("/") ? 2 : 1);
      const size_t word = end;
      while (end < text.size() && in(text[end], "")) end++;
      if (end < word + 3 || end >= text.size() || text[end] != ']') continue;
      end++;
    } else if (text.substr(at).starts_with("<s>") || text.substr(at).starts_with("</s>")) {
      end = text.find('>', at) + 1;
    } else {
      continue;
    }
    found.emplace_back(text.substr(at, end - at));
    at = end - 1;
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

/// Markers that the template writes and the vocabulary does not know.
void examine_markers(const RenderedPrompt& prompt, const Tokenizer& tokenizer, Report& report) {
  std::string own;
  for (const PromptPiece& piece : prompt.pieces)
    if (piece.trusted) own += piece.text;
  std::vector<std::string> foreign;
  const auto markers = marker_texts(own);
  for (const std::string& marker : markers)
    if (!tokenizer.control(marker)) foreign.push_back(quoted(marker));
  if (foreign.empty()) return;
  report.problem(kSection, "template-foreign",
                 fmt::format("the chat template is another model's: it writes {}, which {} no token of this vocabulary",
                             fmt::join(foreign, ", "), foreign.size() == 1 ? "is" : "are"),
                 kNewText);
}

/// The token after an assistant's text must be one that ends an answer.
void examine_turn_end(const ChatTemplate& chat_template, const Tokenizer& tokenizer, Report& report) {
  Budget budget("the chat template's check", {.time = kTemplateTime});
  const std::string text = joined(chat_template.render(conversation({"user", "assistant"}, false), budget));
  const size_t answer = text.rfind(kAnswerText);
  if (answer == std::string::npos) return;  // told by examine_sequences
  const std::string rest = text.substr(answer + std::string_view(kAnswerText).size());
  for (const TokenId id : tokenizer.encode(rest, true, budget).ids) {
    if (!tokenizer.is_control(id)) continue;
    if (tokenizer.ends_generation(id)) return;
    return report.problem(kSection, "special-ids",
                          fmt::format("the chat template ends an answer with {}, which is not among the ids that end "
                                      "one: answers will run on",
                                      quoted(tokenizer.bytes(id))),
                          kNewText);
  }
  report.note(kSection,
              "the chat template writes no control token after an answer: only length and stop texts end one");
}

void examine_sequences(const ChatTemplate& chat_template, const Tokenizer& tokenizer, Report& report) {
  std::vector<std::string> refused;
  int changed = 0;
  for (const Sequence& sequence : kSequences) {
    Budget budget("the chat template's check", {.time = kTemplateTime});
    const std::string roles = fmt::format("{}", fmt::join(sequence.roles, ", "));
    try {
      const RenderedPrompt prompt = chat_template.render(conversation(sequence.roles, true), budget);
      changed += !prompt.notes.empty();
      if (joined(prompt).find(kUserText) == std::string::npos)
        return report.problem(kSection, "template-broken",
                              fmt::format("the chat template leaves the user's text out of ({})", roles), kNewText);
      if (sequence.needed) examine_markers(prompt, tokenizer, report);
      if (report.has("template-foreign")) return;
    } catch (const Error& error) {
      if (sequence.needed)
        return report.problem(kSection, "template-broken",
                              fmt::format("the chat template refuses ({}): {}", roles, error.message()), kNewText);
      refused.push_back(fmt::format("({})", roles));
    }
  }
  examine_turn_end(chat_template, tokenizer, report);
  report.good(kSection, fmt::format("the chat template takes {} of {} sequences of roles{}",
                                    std::size(kSequences) - refused.size(), std::size(kSequences),
                                    changed > 0 ? fmt::format(", {} of them with a note in the answer", changed) : ""));
  if (!refused.empty())
    report.note(kSection,
                fmt::format("the chat template refuses {}; such requests get an error", fmt::join(refused, ", ")));
}

// --- embedding

using Row = std::vector<float>;

double cosine(const Row& a, const Row& b) {
  double product = 0, square_a = 0, square_b = 0;
  for (size_t i = 0; i < a.size(); i++)
    product += double{a[i]} * b[i], square_a += double{a[i]} * a[i], square_b += double{b[i]} * b[i];
  return square_a > 0 && square_b > 0 ? product / std::sqrt(square_a * square_b) : 0;
}

/// What all embeddings have in common would make any two of them look alike.
void subtract_mean(std::vector<Row>& rows) {
  if (rows.empty()) return;
  std::vector<double> mean(rows.front().size());
  for (const Row& row : rows)
    for (size_t i = 0; i < row.size(); i++) mean[i] += row[i] / static_cast<double>(rows.size());
  for (Row& row : rows)
    for (size_t i = 0; i < row.size(); i++) row[i] -= static_cast<float>(mean[i]);
}

}  // namespace

void examine_chat(std::string_view source, const Tokenizer& tokenizer, Report& report) {
  examine_special_ids(tokenizer, report);
  if (source.empty()) return report.note(kSection, "there is no chat template: only plain prompts can be answered");
  try {
    examine_sequences(*compile_template(source, tokenizer), tokenizer, report);
  } catch (const Error& error) {
    report.problem(kSection, "template-broken", "the chat template cannot be used: " + error.message(), kNewText);
  }
}

void examine_tokenizer(const Tokenizer& tokenizer, Report& report) {
  constexpr std::string_view kTexts[] = {
      kSampleEnglish, kSampleCode,
      "  two  spaces,\ttabs\n\n\nand lines; 1234567890; na\u00efve caf\u00e9, "
      "\u4f60\u597d, \u041f\u0440\u0438\u0432\u0435\u0442, \U0001F600 <|user|> [INST]"};
  Budget budget("the tokenizer's check");
  for (const std::string_view text : kTexts) {
    const Encoded encoded = tokenizer.encode(text, false, budget);
    if (!encoded.lost_bytes.empty()) {
      report.note(kSection, fmt::format("the vocabulary cannot express {} byte values", encoded.lost_bytes.size()));
      continue;
    }
    const std::string back = tokenizer.decode(encoded.ids, false);
    if (back == text) continue;
    const auto differs = std::mismatch(text.begin(), text.end(), back.begin(), back.end()).first - text.begin();
    return report.problem(kSection, "tokenizer-round-trip",
                          fmt::format("text does not survive the tokenizer: from byte {} on, {} comes back as {}",
                                      differs, quoted(text.substr(static_cast<size_t>(differs)), 24),
                                      quoted(back.substr(std::min(back.size(), static_cast<size_t>(differs))), 24)),
                          kNewText);
  }
  const auto tokens = static_cast<double>(tokenizer.encode(kSampleEnglish, false, budget).ids.size());
  const double held = static_cast<double>(kSampleEnglish.size()) / tokens;
  if (tokenizer.size() >= kLargeVocabulary && held < kLeastBytesPerToken)
    return report.problem(kSection, "tokenizer-merges",
                          fmt::format("the tokenizer cuts English into pieces of {:.1f} bytes, usual for {} tokens is "
                                      "about 4: its merges are not this vocabulary's",
                                      held, tokenizer.size()),
                          kNewText);
  report.good(kSection, fmt::format("texts survive the tokenizer; a token holds {:.1f} bytes of English", held));
}

Coherence embedding_coherence(const StoredTensor& embedding, const Vocabulary& vocabulary) {
  std::unordered_map<std::string_view, int64_t> ids;
  for (size_t i = 0; i < vocabulary.tokens.size(); i++)
    if (vocabulary.tokens[i].kind == Token::Kind::normal)
      ids.emplace(vocabulary.tokens[i].bytes, static_cast<int64_t>(i));
  std::vector<std::pair<int64_t, int64_t>> pairs;
  for (const auto& [bytes, id] : ids) {
    if (bytes.size() < 3 || bytes[0] != ' ') continue;
    if (const auto bare = ids.find(bytes.substr(1)); bare != ids.end()) pairs.emplace_back(bare->second, id);
  }
  std::sort(pairs.begin(), pairs.end());
  if (pairs.size() > kMostPairs) {
    const size_t step = pairs.size() / kMostPairs + 1;
    for (size_t i = 0; i * step < pairs.size(); i++) pairs[i] = pairs[i * step];
    pairs.resize((pairs.size() + step - 1) / step);
  }
  std::vector<Row> rows;  // bare, spaced, bare, spaced...
  for (const auto& [bare, spaced] : pairs) {
    for (const int64_t id : {bare, spaced}) decode_row(embedding, id, rows.emplace_back(embedding.cols));
  }
  subtract_mean(rows);
  Coherence out{.pairs = static_cast<int>(pairs.size())};
  for (size_t i = 0; i < rows.size(); i += 2) {
    out.alike += cosine(rows[i], rows[i + 1]) / static_cast<double>(pairs.size());
    out.random += cosine(rows[i], rows[(i + 3) % rows.size()]) / static_cast<double>(pairs.size());
  }
  return out;
}

}  // namespace lancet
