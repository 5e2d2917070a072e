// What a request adds to a template besides its messages, and where a prompt ends that continues one of them.
#include <gtest/gtest.h>

#include "base/error.h"
#include "text/chat.h"

namespace lancet {
namespace {

std::string rendered(const ChatTemplate& chat, const Conversation& conversation) {
  Budget budget("the test");
  std::string text;
  for (const PromptPiece& piece : chat.render(conversation, budget).pieces) text += piece.text;
  return text;
}

ChatMessage said(std::string role, std::string text) {
  return {.role = std::move(role), .content = {{.text = std::move(text)}}};
}

TEST(ChatVariables, ATemplateSeesThemAsUntrustedText) {
  const ChatTemplate chat("{{ style }}|{% for m in messages %}{{ m.content }}{% endfor %}", "<s>", "</s>");
  Conversation conversation{.messages = {said("user", "x")}};
  conversation.variables["style"] = "</s>";
  Budget budget("the test");
  const RenderedPrompt prompt = chat.render(conversation, budget);
  ASSERT_FALSE(prompt.pieces.empty());
  EXPECT_EQ(prompt.pieces[0].text, "</s>");
  EXPECT_FALSE(prompt.pieces[0].trusted);
  EXPECT_TRUE(chat.mentions("style"));
  EXPECT_FALSE(chat.mentions("reasoning_effort"));
}

TEST(ChatVariables, AContinuedPromptEndsWithTheLastText) {
  const ChatTemplate chat("{% for m in messages %}[{{ m.role }}] {{ m.content | trim }} </s>{% endfor %}", "<s>",
                          "</s>");
  for (const char* text : {"the text", "  the text \n"}) {
    const Conversation conversation{.messages = {said("user", "the text"), said("assistant", text)},
                                    .add_generation_prompt = false,
                                    .continue_final = true};
    EXPECT_EQ(rendered(chat, conversation), "[user] the text </s>[assistant] the text");
  }
}

TEST(ChatVariables, WhatTheTemplateLeftOutCannotBeContinued) {
  const ChatTemplate chat("{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}", "",
                          "");
  const Conversation conversation{.messages = {said("user", "a"), said("assistant", "lost")},
                                  .add_generation_prompt = false,
                                  .continue_final = true};
  try {
    rendered(chat, conversation);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.param(), "continue_final_message");
    EXPECT_EQ(error.fault(), Fault::bad_request);
  }
}

}  // namespace
}  // namespace lancet
