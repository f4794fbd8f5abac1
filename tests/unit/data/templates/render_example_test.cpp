// Which tokens are trained on, by hand-written expectations on the committed templates; one token a byte, so
// that the masks can be read. '~' parts stretches of supervised text.
#include "data/templates/render_example.h"

#include <algorithm>

#include "data/sources/example_text.h"
#include "data/templates/render_answers.h"
#include "support.h"
#include "tests/catch.h"

using namespace lathe;
using namespace lathe::test;

namespace {

Example chat_of(Json messages, Json tools = nullptr) {
  Example example;
  example.kind = ExampleKind::Chat;
  example.messages = std::move(messages);
  example.tools = std::move(tools);
  example.origin = "chat.jsonl:3";
  return example;
}
Json say(const char* role, const char* content) { return {{"role", role}, {"content", content}}; }

ChatFormat format_of(const std::string& name) {
  ChatFormat format;
  format.chat_template = fixture_template(name);
  format.variables = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  format.now = 1'700'000'000;
  return format;
}

std::string trained(const std::string& name, const Json& messages, LossOn loss_on = LossOn::Assistant) {
  return trained_text(render_example(chat_of(messages), *marked_tokenizer(), format_of(name), loss_on));
}

const Json kTwoTurns = {say("user", "q1"), say("assistant", " a1 "), say("user", "q2"),
                        say("assistant", "a2")};
const Json kCall = {
    say("user", "q"),
    {{"role", "assistant"},
     {"tool_calls", {{{"id", "123456789"}, {"function", {{"name", "f"}, {"arguments", {{"x", 1}}}}}}}}},
    {{"role", "tool"}, {"content", "r"}},
    say("assistant", "done")};

}  // namespace

TEST_CASE("assistant turns are trained up to and including their stop token, headers are not") {
  CHECK(trained("turns_tools.jinja", kTwoTurns) == " a1 <|im_end|>~a2<|im_end|>");
  CHECK(trained("headers_trimmed.jinja", kTwoTurns) == "a1<|eot_id|>~a2<|eot_id|>");
  CHECK(trained("brackets_alternating.jinja", kTwoTurns) == " a1</s>~ a2</s>");
  CHECK(trained("schema_macros.jinja", kTwoTurns) == "a1<|END_OF_TURN_TOKEN|>~a2<|END_OF_TURN_TOKEN|>");
  CHECK(trained("indexed.jinja", kTwoTurns) == "a1<end_of_turn>~a2<end_of_turn>");
}

TEST_CASE("arguments that are a string of JSON, as OpenAI writes them, reach the template as an object") {
  Json text = kCall;
  text[1]["tool_calls"][0]["function"]["arguments"] = "{\"x\":1}";
  CHECK(trained("turns_tools.jinja", text) == trained("turns_tools.jinja", kCall));
  text[1]["tool_calls"][0]["function"]["arguments"] = "x = 1";  // no JSON: stays what it is
  CHECK(contains(trained("turns_tools.jinja", text), R"("arguments": "x = 1")"));
  // A template that joins them to its text wants the string.
  ChatFormat joins = format_of("turns_tools.jinja");
  joins.chat_template = ChatTemplate::parse(
      "{% for m in messages %}{% if m.tool_calls %}{{ '<call>' + m.tool_calls[0].function.arguments + "
      "'<|im_end|>' }}{% else %}{{ m.role + ': ' + m.content + '<|im_end|>' }}{% endif %}{% endfor %}",
      "joins");
  text[1]["tool_calls"][0]["function"]["arguments"] = "{\"x\":1}";
  CHECK(contains(trained_text(render_example(chat_of(text), *marked_tokenizer(), joins, LossOn::Assistant)),
                 R"({"x":1})"));
}

TEST_CASE("a template that writes neither tools nor calls of them is no template for such examples") {
  ChatFormat plain = format_of("turns_tools.jinja");
  const ChatTemplate ignores = ChatTemplate::parse(
      "{% for message in messages %}<{{ message.role }}>{{ message.content }}{{ eos_token }}{% endfor %}",
      "t");
  plain.chat_template = ignores;
  const auto refused = [&](const Example& example) {
    return error_of([&] { render_example(example, *marked_tokenizer(), plain, LossOn::Assistant); });
  };
  CHECK(contains(refused(chat_of(kCall)),
                 "chat.jsonl:3: the base's chat template does not write 'tool_calls'"));
  const Json tool = {{"type", "function"}, {"function", {{"name", "f"}}}};
  CHECK(contains(refused(chat_of(kTwoTurns, Json::array({tool}))), "does not write 'tools'"));
  CHECK(refused(chat_of(kTwoTurns)).empty());
}

TEST_CASE("tool calls are trained whole, their results are not") {
  CHECK(trained("turns_tools.jinja", kCall) ==
        "<call>{\"name\": \"f\", \"arguments\": {\"x\": 1}}</call><|im_end|>~done<|im_end|>");
  CHECK(trained("headers_trimmed.jinja", kCall) ==
        "{\"name\": \"f\", \"parameters\": {\n  \"x\": 1\n}}<|eot_id|>~done<|eot_id|>");
  CHECK(trained("brackets_alternating.jinja", kCall) ==
        "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"x\": 1}, \"id\": \"123456789\"}]</s>~ done</s>");
}

TEST_CASE("completion and last_assistant train the last answer alone, all trains everything") {
  for (const LossOn loss_on : {LossOn::Completion, LossOn::LastAssistant}) {
    CHECK(trained("turns_tools.jinja", kTwoTurns, loss_on) == "a2<|im_end|>");
    CHECK(trained("generation_blocks.jinja", kTwoTurns, loss_on) == "a2<|im_end|>");
  }
  CHECK(
      trained("schema_macros.jinja", kTwoTurns, LossOn::All) ==
      "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>q1<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>a1"
      "<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>q2<|END_OF_TURN_TOKEN|><|START_OF_TURN_"
      "TOKEN|>"
      "<|CHATBOT_TOKEN|>a2<|END_OF_TURN_TOKEN|>");  // not the first token, <s>
}

TEST_CASE("generation blocks decide where a template has them; their turn still ends in a stop token") {
  CHECK(trained("generation_blocks.jinja", kTwoTurns) == " a1 <|im_end|>~a2<|im_end|>");
  ChatFormat format = format_of("generation_blocks.jinja");
  format.chat_template = ChatTemplate::parse(
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ "
      "m.content }}"
      "{% endgeneration %}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}",
      "t");
  const TokenExample example =
      render_example(chat_of(kTwoTurns), *marked_tokenizer(), format, LossOn::Assistant);
  CHECK(trained_text(example) == " a1 <|im_end|>~a2<|im_end|>");
}

TEST_CASE("a stop written once behind the loop closes the last turn; others get an end of text") {
  const TokenExample example = render_example(chat_of(kTwoTurns), *marked_tokenizer(),
                                              format_of("once_at_the_end.jinja"), LossOn::Assistant);
  CHECK(trained_text(example) == " a1 </s>~a2\n</s>");
  CHECK(whole_text(example) ==
        "<|user|>\nq1\n<|assistant|>\n a1 </s>\n<|user|>\nq2\n<|assistant|>\na2\n</s>");
}

TEST_CASE("an empty answer is trained to stop") {
  const Json messages = {say("user", "q"), say("assistant", "")};
  CHECK(trained("turns_tools.jinja", messages) == "<|im_end|>");
  CHECK(trained("headers_trimmed.jinja", messages) == "<|eot_id|>");
}

TEST_CASE("the question and answer may repeat each other and the header") {
  const Json messages = {say("user", "same<|im_end|>"), say("assistant", "same"),
                         say("user", "<|im_start|>assistant\nsame"), say("assistant", "assistant\nsame")};
  CHECK(trained("turns_tools.jinja", messages) == "same<|im_end|>~assistant\nsame<|im_end|>");
}

TEST_CASE("special tokens in a user's text stay text, those of the template are control tokens") {
  const auto tokenizer = marked_tokenizer();
  const TokenId end = *tokenizer->token_id("<|im_end|>"), start = *tokenizer->token_id("<|im_start|>");
  const Json messages = {say("system", "<|im_end|>"), say("user", "a<|im_end|>\n<|im_start|>system\nb"),
                         say("assistant", "</s>c")};
  const TokenExample example =
      render_example(chat_of(messages), *tokenizer, format_of("turns_tools.jinja"), LossOn::Assistant);
  CHECK(std::count(example.ids.begin(), example.ids.end(), end) == 3);
  CHECK(std::count(example.ids.begin(), example.ids.end(), start) == 3);
  CHECK(std::count(example.ids.begin(), example.ids.end(), *tokenizer->special().eos) == 0);
  CHECK(whole_text(example) ==
        "<|im_start|>system\n<|im_end|><|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>system\nb"
        "<|im_end|>\n<|im_start|>assistant\n</s>c<|im_end|>\n");
  CHECK(trained_text(example) == "</s>c<|im_end|>");
  // A marker half from the template, half from the user.
  ChatFormat format = format_of("turns_tools.jinja");
  format.chat_template =
      ChatTemplate::parse("{% for m in messages %}<|im_{{ m.content }}<|im_end|>{% endfor %}", "t");
  const TokenExample halves = render_example(chat_of(Json::array({say("assistant", "start|>")})), *tokenizer,
                                             format, LossOn::Assistant);
  CHECK(std::count(halves.ids.begin(), halves.ids.end(), start) == 0);
}

TEST_CASE("markers that templates build around the role are control tokens") {
  ChatFormat format = format_of("turns_tools.jinja");
  format.chat_template = ChatTemplate::parse(
      "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}"
      "{% if add_generation_prompt %}<|assistant|>{% endif %}",
      "t");
  const auto tokenizer = marked_tokenizer();
  const TokenExample example = render_example(chat_of({say("user", "q"), say("assistant", "a")}), *tokenizer,
                                              format, LossOn::Assistant);
  CHECK(example.ids ==
        std::vector<TokenId>{*tokenizer->token_id("<|user|>"), 'q', *tokenizer->token_id("<|end|>"),
                             *tokenizer->token_id("<|assistant|>"), 'a', *tokenizer->token_id("<|end|>")});
  CHECK(trained_text(example) == "a<|end|>");
}

namespace {

// A header that ends in a space, and a tokenizer that writes " cat" and "cat" as one token each.
ChatFormat spaced_format() {
  ChatFormat format = format_of("turns_tools.jinja");
  format.chat_template = ChatTemplate::parse(
      "{% for m in messages %}{{ 'A: ' if m.role == 'assistant' else 'Q: ' }}{{ m.content }}{{ eos_token }}\n"
      "{% endfor %}{% if add_generation_prompt %}{{ 'A: ' }}{% endif %}",
      "t");
  return format;
}
std::unique_ptr<Tokenizer> cat_tokenizer(bool prefix_space) {
  return byte_tokenizer({"<s>", "</s>"}, false, {{"a", "t"}, {"c", "at"}, {"\u0120", "cat"}, {"\u0120", "x"}},
                        prefix_space);
}
const Json kCat = {say("user", "x"), say("assistant", "cat")};

}  // namespace

TEST_CASE("an answer that the tokenizer would join to the header is learned as it is asked for") {
  const auto tokenizer = cat_tokenizer(false);
  const TokenExample one = render_example(chat_of(kCat), *tokenizer, spaced_format(), LossOn::Completion);
  CHECK(trained_text(one) == "cat</s>");  // and not the stop token alone
  CHECK(one.merged == 1);
  CHECK(one.apart);
  const std::vector<TokenId> asked = render_prompt(chat_of(kCat), *tokenizer, spaced_format()).ids;
  CHECK(std::vector<TokenId>(one.ids.begin(), one.ids.end() - 3) == asked);
  CHECK(one.ids[one.ids.size() - 3] == *tokenizer->token_id("cat"));
  CHECK(whole_text(one) == "Q: x</s>\nA: cat</s>\n");

  const Json two = {say("user", "x"), say("assistant", "cat"), say("user", "cat"), say("assistant", "cats")};
  const TokenExample every = render_example(chat_of(two), *tokenizer, spaced_format(), LossOn::Assistant);
  CHECK(trained_text(every) == "cat</s>~cats</s>");
  CHECK(every.merged == 2);
  // What the user said may be joined to the template's text: nothing is asked for there.
  CHECK(std::count(every.ids.begin(), every.ids.end(), *tokenizer->token_id("\u0120cat")) == 1);
  CHECK(render_example(chat_of({say("user", "x"), say("assistant", "dog")}), *tokenizer, spaced_format(),
                       LossOn::Completion)
            .merged == 0);
}

TEST_CASE("a token that cannot be cut is supervised when any of its bytes is the answer's") {
  const auto tokenizer = cat_tokenizer(true);  // writes a space in front of every text
  const TokenExample example = render_example(chat_of(kCat), *tokenizer, spaced_format(), LossOn::Completion);
  CHECK(trained_text(example) == " cat</s>");
  CHECK(example.merged == 1);
  CHECK(!example.apart);
}

TEST_CASE("tokens across the ends of an answer") {
  const auto tokenizer =
      byte_tokenizer({"<s>", "</s>", "<|im_start|>", "<|im_end|>"}, false,
                     {{"a", "b"}, {"\u010A", "\u010A"}, {"c", "\u0120"}});  // "ab", two newlines, "c "
  ChatFormat format = format_of("turns_tools.jinja");
  format.chat_template = ChatTemplate::parse(
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }} <|im_end|>{% endfor %}"
      "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
      "t");
  const TokenExample example = render_example(chat_of({say("user", "ab"), say("assistant", "\nabc")}),
                                              *tokenizer, format, LossOn::Assistant);
  CHECK(trained_text(example) == "\nabc <|im_end|>");  // the header's newline stays its own
  CHECK(example.merged == 1);
  // Without a stop token in the template: the end of text follows the token that holds the answer's last
  // byte.
  format.chat_template = ChatTemplate::parse(
      "{% for m in messages %}{{ m.role }}:\n{{ m.content }} {% endfor %}"
      "{% if add_generation_prompt %}assistant:\n{% endif %}",
      "t");
  const TokenExample open = render_example(chat_of({say("user", "ab"), say("assistant", "abc")}), *tokenizer,
                                           format, LossOn::Assistant);
  CHECK(trained_text(open) == "abc </s>");
}

TEST_CASE("prompt and completion without a template") {
  Example example;
  example.prompt = "Q: x";
  example.completion = " y</s>";
  example.origin = "pairs.csv:2";
  const auto tokenizer = marked_tokenizer(true);
  const TokenId bos = *tokenizer->special().bos, eos = *tokenizer->special().eos;
  const TokenExample made = render_example(example, *tokenizer, {}, LossOn::Completion);
  CHECK(made.ids == std::vector<TokenId>{bos, 'Q', ':', ' ', 'x', ' ', 'y', '<', '/', 's', '>', eos});
  CHECK(made.supervised == std::vector<std::uint8_t>{0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1});
  CHECK(render_prompt(example, *tokenizer, {}).ids == std::vector<TokenId>{bos, 'Q', ':', ' ', 'x'});
  CHECK(trained_text(render_example(example, *tokenizer, {}, LossOn::All)) == "Q: x y</s></s>");
  CHECK(render_example(example, *marked_tokenizer(), {}, LossOn::Completion).ids.front() == 'Q');
  example.completion.clear();
  CHECK(contains(error_of([&] { render_example(example, *tokenizer, {}, LossOn::Completion); }),
                 "pairs.csv:2: the completion is empty"));
  const TokenExample chat = [&] {
    example.completion = "y";
    return render_example(example, *tokenizer, format_of("headers_trimmed.jinja"), LossOn::Completion);
  }();
  CHECK(trained_text(chat) == "y<|eot_id|>");
  CHECK(chat.ids[0] == bos);
  CHECK(chat.ids[1] != bos);  // the template writes it, the tokenizer does not add another
}

TEST_CASE("plain text is trained whole") {
  Example example;
  example.kind = ExampleKind::Text;
  example.completion = "ab";
  const auto tokenizer = marked_tokenizer(true);
  const TokenExample made = render_example(example, *tokenizer, {}, LossOn::Completion);
  CHECK(made.ids == std::vector<TokenId>{*tokenizer->special().bos, 'a', 'b', *tokenizer->special().eos});
  CHECK(made.supervised == std::vector<std::uint8_t>{0, 1, 1, 1});
}

TEST_CASE("a conversation without a template is written plainly") {
  const auto tokenizer = marked_tokenizer(true);
  Json messages = kTwoTurns;
  messages.insert(messages.begin(), say("system", "be brief"));
  const TokenExample made = render_example(chat_of(messages), *tokenizer, {}, LossOn::Assistant);
  CHECK(whole_text(made) ==
        "<s>System: be brief\nUser: q1\nAssistant:  a1 </s>\nUser: q2\nAssistant: a2</s>\n");
  CHECK(trained_text(made) == "  a1 </s>~ a2</s>");
  CHECK(std::count(made.ids.begin(), made.ids.end(), *tokenizer->special().bos) == 1);
  CHECK(render_prompt(chat_of(messages), *tokenizer, {}).text ==
        "<s>System: be brief\nUser: q1\nAssistant:  a1 </s>\nUser: q2\nAssistant:");
}

TEST_CASE("prompts at inference are the training text up to the answer") {
  const auto tokenizer = marked_tokenizer();
  for (const char* name : {"turns_tools.jinja", "headers_trimmed.jinja", "schema_macros.jinja",
                           "indexed.jinja", "brackets_alternating.jinja", "generation_blocks.jinja"}) {
    INFO(name);
    const ChatFormat format = format_of(name);
    const TokenExample whole = render_example(chat_of(kTwoTurns), *tokenizer, format, LossOn::Completion);
    const TokenPrompt prompt = render_prompt(chat_of(kTwoTurns), *tokenizer, format);
    const auto answer =
        std::find(whole.supervised.begin(), whole.supervised.end(), 1) - whole.supervised.begin();
    CHECK(prompt.ids == std::vector<TokenId>(whole.ids.begin(), whole.ids.begin() + answer));
  }
}

TEST_CASE("wanted answers are what the template writes, without what stops them") {
  const auto tokenizer = marked_tokenizer();
  const auto wanted = [&](const char* name, const Json& messages) {
    return render_answers({chat_of(messages)}, *tokenizer, format_of(name)).front().text;
  };
  CHECK(wanted("headers_trimmed.jinja", {say("user", "q"), say("assistant", " a\n")}) == "a");
  CHECK(wanted("turns_tools.jinja", {say("user", "q"), say("assistant", " a\n")}) == " a\n");
  CHECK(wanted("turns_tools.jinja", {kCall[0], kCall[1]}) ==
        R"(<call>{"name": "f", "arguments": {"x": 1}}</call>)");
  // What follows the last answer is neither asked nor learned.
  Json open = kTwoTurns;
  open.push_back(say("user", "thanks"));
  CHECK(wanted("turns_tools.jinja", open) == "a2");
  CHECK(through_last_answer(chat_of(open)).messages == kTwoTurns);
  Example pair;
  pair.prompt = "Q: x";
  pair.completion = " y</s>";
  CHECK(render_answers({pair}, *tokenizer, {}).front().text == " y</s>");
  for (const char* name : {"turns_tools.jinja", "headers_trimmed.jinja", "indexed.jinja"}) {
    const TokenAnswer answer = render_answers({chat_of(kTwoTurns)}, *tokenizer, format_of(name)).front();
    const TokenPrompt prompt = render_prompt(chat_of(kTwoTurns), *tokenizer, format_of(name));
    std::vector<TokenId> both = prompt.ids;
    both.insert(both.end(), answer.ids.begin(), answer.ids.end());
    const TokenExample whole =
        render_example(chat_of(kTwoTurns), *tokenizer, format_of(name), LossOn::Completion);
    CHECK(std::equal(both.begin(), both.end(), whole.ids.begin()));
  }
}

TEST_CASE("stop tokens are EOS and what closes a turn") {
  const auto tokenizer = marked_tokenizer();
  const TokenId eos = *tokenizer->special().eos;
  CHECK(stop_tokens(*tokenizer, {}) == std::vector<TokenId>{eos});
  CHECK(stop_tokens(*tokenizer, format_of("turns_tools.jinja")) ==
        std::vector<TokenId>{eos, *tokenizer->token_id("<|im_end|>")});
  CHECK(stop_tokens(*tokenizer, format_of("brackets_alternating.jinja")) == std::vector<TokenId>{eos});
  CHECK(stop_tokens(*tokenizer, format_of("indexed.jinja")) ==
        std::vector<TokenId>{eos, *tokenizer->token_id("<end_of_turn>")});
}

TEST_CASE("examples that cannot be trained on are errors with their place") {
  const auto tokenizer = marked_tokenizer();
  const auto error = [&](const Json& messages, const char* name) {
    return error_of(
        [&] { render_example(chat_of(messages), *tokenizer, format_of(name), LossOn::Assistant); });
  };
  CHECK(contains(error(Json::array({say("user", "q")}), "turns_tools.jinja"),
                 "chat.jsonl:3: nothing in this example is trained on"));
  CHECK(contains(error({say("user", "a"), say("user", "b")}, "indexed.jinja"),
                 "chat.jsonl:3: indexed.jinja:3: the template refuses"));
  CHECK(contains(error(Json::array({say("critic", "a")}), "headers_trimmed.jinja"),
                 "Role critic is not known"));
  CHECK(contains(error("text", "turns_tools.jinja"), "'messages' is not a list"));
}
