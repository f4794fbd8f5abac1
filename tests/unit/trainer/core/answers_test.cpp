// Questions as a model is asked them, with examples before them and without what follows their answers.
#include "trainer/evaluate/answers.h"

#include "tests/catch.h"
#include "tests/pairs.h"
#include "tests/unit/data/templates/support.h"

using namespace lathe;

namespace {

Example chat_of(Json messages) {
  Example example;
  example.kind = ExampleKind::Chat;
  example.messages = std::move(messages);
  return example;
}
Json say(const char* role, const std::string& content) { return {{"role", role}, {"content", content}}; }

}  // namespace

TEST_CASE("a conversation that ends with the user is asked before its last answer") {
  const auto tokenizer = test::marked_tokenizer();
  ChatFormat format;
  format.chat_template = test::fixture_template("turns_tools.jinja");
  const Example open = chat_of({say("user", "q"), say("assistant", "a"), say("user", "thanks")}),
                closed = chat_of({say("user", "q"), say("assistant", "a")});
  const AskedPrompt asked = asked_prompt(open, {}, *tokenizer, format, 1000);
  CHECK(asked.prompt.text == asked_prompt(closed, {}, *tokenizer, format, 1000).prompt.text);
  CHECK(asked.prompt.text.find("thanks") == std::string::npos);
  CHECK(asked.prompt.text.ends_with("q<|im_end|>\n<|im_start|>assistant\n"));
  const AskedPrompt shown = asked_prompt(closed, {open, open}, *tokenizer, format, 1000);
  CHECK(shown.prompt.text.find("thanks") == std::string::npos);
  CHECK(shown.example.messages.size() == 6);
}

TEST_CASE("the limit of answers follows the longest wanted one in tokens") {
  CHECK(answer_limit({{"a", {1, 2}}, {"b", {1}}}) == 32);
  CHECK(answer_limit({{"a", std::vector<TokenId>(40)}}) == 80);
  CHECK(answer_limit({{"a", std::vector<TokenId>(400)}}) == 512);
}
