#include "checkpoint/tokenizer_json_parts.h"

#include <vector>

#include <fmt/format.h>

#include "checkpoint/special_ids.h"
#include "checkpoint/split_patterns.h"

namespace lancet {
namespace {

[[noreturn]] void refuse(const std::string& source, const JsonView& at, const std::string& what) {
  throw Error(Fault::unsupported, fmt::format("{}: {}: {}", source, at.path(), what), at.path());
}

/// The components of a possibly nested Sequence, in order. The depth is bounded by parse_json's.
void flatten(const JsonView& component, std::string_view list_key, std::vector<JsonView>& out) {
  if (component.at("type").string() != "Sequence") {
    out.push_back(component);
    return;
  }
  const JsonView list = component.at(list_key);
  for (size_t i = 0; i < list.size(); i++) flatten(list.element(i), list_key, out);
}

std::vector<JsonView> components(const JsonView& root, std::string_view key, std::string_view list_key) {
  std::vector<JsonView> out;
  if (const auto component = root.find(key)) flatten(*component, list_key, out);
  return out;
}

bool flag(const JsonView& component, std::string_view key, bool absent) {
  const auto value = component.find(key);
  return value ? value->boolean() : absent;
}

SplitPattern pattern_of_split(const JsonView& split, const std::string& source) {
  const JsonView pattern = split.at("pattern");
  const auto regex = pattern.find("Regex");
  if (!regex) refuse(source, pattern, "splits at a fixed string, which Lancet does not have");
  const auto known = pattern_of_regex(regex->string());
  if (!known) {
    refuse(source, *regex,
           fmt::format("the pattern {} is not one that Lancet has (tekken, GPT-2, Llama 3)",
                       quoted(regex->string(), 600)));
  }
  // The patterns cover every text, so keeping the matches and keeping what lies between them are the same.
  const std::string_view behavior = split.at("behavior").string();
  const bool inverted = flag(split, "invert", false);
  if (!(behavior == "Isolated" && !inverted) && !(behavior == "Removed" && inverted)) {
    refuse(source, split,
           fmt::format("a Split with behavior {}{} is not one that Lancet has", quoted(behavior),
                       inverted ? ", inverted," : ""));
  }
  return *known;
}

}  // namespace

void check_normalizer(const JsonView& root, const std::string& source) {
  for (const JsonView& part : components(root, "normalizer", "normalizers")) {
    refuse(source, part, fmt::format("the normalizer {} is not one that Lancet has", quoted(part.at("type").string())));
  }
}

void check_decoder(const JsonView& root, const std::string& source) {
  for (const JsonView& part : components(root, "decoder", "decoders")) {
    const std::string_view type = part.at("type").string();
    if (type == "ByteLevel") continue;
    refuse(source, part, fmt::format("the decoder {} is not one that Lancet has", quoted(type)));
  }
}

SplitPattern read_pre_tokenizer(const JsonView& root, const std::string& source) {
  const std::vector<JsonView> parts = components(root, "pre_tokenizer", "pretokenizers");
  std::optional<SplitPattern> split;
  bool digits = false, byte_level = false;
  for (const JsonView& part : parts) {
    const std::string_view type = part.at("type").string();
    if (byte_level) {
      refuse(source, part, fmt::format("{} after ByteLevel is not something that Lancet has", quoted(type)));
    }
    if (type == "Split" && !split && !digits) {
      split = pattern_of_split(part, source);
    } else if (type == "Digits" && !split && !digits && flag(part, "individual_digits", false)) {
      digits = true;
    } else if (type == "ByteLevel") {
      byte_level = true;
      if (flag(part, "add_prefix_space", true)) {
        refuse(source, part, "add_prefix_space is not something that Lancet has");
      }
      if (!flag(part, "use_regex", true)) continue;
      if (split) refuse(source, part, "a Split followed by ByteLevel's own pattern is not something that Lancet has");
      split = SplitPattern::gpt2;
    } else {
      refuse(source, part, fmt::format("the pre-tokenizer {} is not one that Lancet has at this place", quoted(type)));
    }
  }
  if (!byte_level || !split) {
    throw Error(Fault::unsupported,
                source +
                    ": pre_tokenizer splits by no pattern into bytes (ByteLevel), which "
                    "Lancet does not have",
                "pre_tokenizer");
  }
  return digits ? SplitPattern::smollm : *split;
}

void read_post_processor(const JsonView& root, const std::string& source, Vocabulary& vocabulary) {
  for (const JsonView& part : components(root, "post_processor", "processors")) {
    const std::string_view type = part.at("type").string();
    if (type == "ByteLevel") continue;  // moves offsets only
    if (type != "TemplateProcessing") {
      refuse(source, part, fmt::format("the post-processor {} is not one that Lancet has", quoted(type)));
    }
    const JsonView single = part.at("single");
    bool text_seen = false;
    for (size_t i = 0; i < single.size(); i++) {
      const auto special = single.element(i).find("SpecialToken");
      if (!special) {
        text_seen = true;
        continue;
      }
      const std::string_view name = special->at("id").string();
      const auto id = find_named(vocabulary, name);
      if (!id) special->fail("the text of a special token of the vocabulary");
      if (!text_seen && !vocabulary.add_bos) {
        vocabulary.add_bos = true;
        vocabulary.bos = *id;
      } else {
        vocabulary.notes.push_back(
            fmt::format("the post-processor also adds {} to a text, which Lancet does not", quoted(name)));
      }
    }
  }
}

}  // namespace lancet
