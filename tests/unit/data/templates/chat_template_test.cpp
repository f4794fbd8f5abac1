// Whole chat templates: texts equal to transformers', and the origin of every character.
#include "data/templates/template_folder.h"

#include <filesystem>
#include <fstream>

#include "support.h"
#include "tests/catch.h"
#include "tests/places.h"

using namespace lathe;
using namespace lathe::test;

namespace {

ChatInput input_of(const Json& request) {
  ChatInput input{.messages = request["messages"], .tools = request["tools"], .documents = nullptr};
  input.add_generation_prompt = request["add_generation_prompt"].get<bool>();
  input.variables = request["variables"];
  input.now = request["now"].get<std::int64_t>();
  return input;
}

// "origin:text" of each run, the template's own text as "-".
std::string described(const RenderedChat& chat) {
  std::string out;
  for (const OriginRun& run : chat.runs) {
    const Origin& origin = chat.origins[run.source];
    const char* kind = origin.kind == OriginKind::Message ? "m" : origin.kind == OriginKind::Tool ? "t" : "-";
    out += origin.kind == OriginKind::Template ? "<-" : cat("<", kind, origin.index, ".", origin.path);
    out += ">" + chat.text.substr(run.begin, run.length);
  }
  return out;
}

RenderedChat render_one(const std::string& source, const Json& messages, const Json& tools = nullptr) {
  ChatInput input{.messages = messages, .tools = tools, .documents = nullptr};
  return ChatTemplate::parse(source, "t").render(input);
}

}  // namespace

TEST_CASE("the committed templates render as transformers does") {
  const Json goldens = read_json(fixture_path("goldens.json"));
  std::size_t texts = 0;
  for (const Json& golden : goldens) {
    INFO(golden["template"] << " " << golden["messages"].dump());
    const ChatTemplate chat = fixture_template(golden["template"].get<std::string>());
    if (golden.contains("error")) {
      CHECK_THROWS_AS(chat.render(input_of(golden)), Error);
      continue;
    }
    ++texts;
    const RenderedChat found = chat.render(input_of(golden));
    CHECK(found.text == golden["text"].get<std::string>());
    Json ranges = Json::array();
    for (const ByteRange& range : found.generation) ranges.push_back({range.begin, range.end});
    CHECK(ranges == golden["generation"]);
    std::size_t covered = 0;
    for (const OriginRun& run : found.runs) {
      CHECK(run.begin == covered);
      covered += run.length;
    }
    CHECK(covered == found.text.size());
  }
  CHECK(texts > 100);
}

TEST_CASE("characters keep their origin through filters, methods and concatenation") {
  const Json messages = {{{"role", "user"}, {"content", "  Hi \"y\"\n"}, {"n", 12}, {"a", {{"k", "v"}}}}};
  const auto one = [&](const std::string& expression) {
    return described(render_one("{% set m = messages[0] %}{{ " + expression + " }}", messages));
  };
  CHECK(one("'<' + m.content | trim + '>'") == "<-><<m0.content>Hi \"y\"<->>");
  CHECK(one("m.content.strip()[1:4] ~ m.role") == "<m0.content>i \"<m0.role>user");
  CHECK(one("m.content | replace('Hi', 'Yo') | trim") == "<->Yo<m0.content> \"y\"");
  CHECK(one("(m.content ~ '!') | upper | trim") == "<m0.content>HI \"Y\"\n<->!");
  CHECK(one("m.content | trim | tojson") == "<m0.content>\"Hi \\\"y\\\"\"");
  CHECK(one("m.n ~ '/' ~ (m.n + 1)") == "<m0.n>12<->/13");
  CHECK(one("m.a | tojson") == "<m0.a>{<m0.a.k>\"k\"<m0.a>: <m0.a.k>\"v\"<m0.a>}");
  CHECK(one("m.content.split() | join('+')") == "<m0.content>Hi<->+<m0.content>\"y\"");
  CHECK(one("m.content | trim | reverse") == "<m0.content>\"y\" iH");
  CHECK(one("(m.content | trim | list)[0]") == "<m0.content>H");
  CHECK(one("'%s!' % m.role") == "<m0.role>user<->!");
  CHECK(described(render_one("{% set x %}[{{ messages[0].role }}]{% endset %}{{ x }}", messages)) ==
        "<->[<m0.role>user<->]");
  CHECK(described(render_one("{% macro f(x) %}({{ x }}){% endmacro %}{{ f(messages[0].role) }}", messages)) ==
        "<->(<m0.role>user<->)");
  CHECK(described(render_one("{{ tools[0].name }}", messages, {{{"name", "f"}}})) == "<t0.name>f");
}

TEST_CASE("pieces know the message whose turn wrote them") {
  const Json messages = {{{"role", "user"}, {"content", "a"}}, {{"role", "assistant"}, {"content", "b"}}};
  const RenderedChat chat = render_one(
      "s{% for m in messages %}<{{ m.content }}>{% for c in 'xy' %}{{ c }}{% endfor %}{% endfor %}e",
      messages);
  std::string shown;
  for (std::size_t i = 0; i < chat.pieces.size(); ++i) {
    const std::size_t end = i + 1 < chat.pieces.size() ? chat.pieces[i + 1].begin : chat.text.size();
    shown +=
        cat(chat.pieces[i].message, chat.text.substr(chat.pieces[i].begin, end - chat.pieces[i].begin), " ");
  }
  CHECK(shown == "-1s 0< 0a 0> 0x 0y 1< 1b 1> 1x 1y -1e ");
}

TEST_CASE("members that are null count as absent and reasoning has each of its names") {
  const Json messages = {{{"role", "assistant"}, {"content", nullptr}, {"reasoning", "why"}}};
  const RenderedChat chat = render_one(
      "{% set m = messages[0] %}{{ m.content is defined }} {{ m.reasoning_content }} {{ m.thinking }}",
      messages);
  CHECK(chat.text == "False why why");
}

TEST_CASE("the template of a folder is found in each of its places") {
  const std::string folder = test::build_folder() + "/template_folder_test";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const auto write = [&](const char* name, const std::string& text) {
    std::ofstream(folder + "/" + name) << text;
  };
  CHECK_FALSE(read_chat_format(folder).chat_template);
  write("chat_template.json", R"({"chat_template": "from json"})");
  CHECK(read_chat_format(folder).chat_template->source() == "from json");
  write("tokenizer_config.json", R"({"bos_token": {"content": "<s>"}, "eos_token": "</s>", "pad_token": null,
        "chat_template": [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "with tools"}]})");
  CHECK(read_chat_format(folder).chat_template->source() == "plain");
  CHECK(read_chat_format(folder, "tool_use").chat_template->source() == "with tools");
  CHECK(contains(error_of([&] { read_chat_format(folder, "rag"); }),
                 "no chat template 'rag'; it has default, tool_use"));
  write("special_tokens_map.json", R"({"unk_token": "<unk>", "eos_token": "other"})");
  write("chat_template.jinja", "from jinja");
  const ChatFormat format = read_chat_format(folder);
  CHECK(format.chat_template->source() == "from jinja");
  CHECK(format.variables.dump() == R"({"bos_token":"<s>","eos_token":"</s>","unk_token":"<unk>"})");
  // transformers 5.23 gives these (its special_tokens_map) to a template of such folders.
  std::filesystem::remove(folder + "/special_tokens_map.json");
  const auto tokens = [&](const std::string& config) {
    write("tokenizer_config.json", config);
    return read_chat_format(folder).variables.dump();
  };
  CHECK(tokens(R"({"tokenizer_class": "LlamaTokenizer"})") ==
        R"({"bos_token":"<s>","eos_token":"</s>","unk_token":"<unk>"})");
  CHECK(tokens(R"({"tokenizer_class": "LlamaTokenizerFast", "bos_token": null, "eos_token": "<end>"})") ==
        R"({"eos_token":"<end>","unk_token":"<unk>"})");
  CHECK(tokens(R"({"tokenizer_class": "GemmaTokenizer"})") ==
        R"({"bos_token":"<bos>","eos_token":"<eos>","unk_token":"<unk>","pad_token":"<pad>"})");
  CHECK(tokens(R"({"tokenizer_class": "PreTrainedTokenizerFast"})") == "{}");
  write("chat_template.jinja", "\n{% nonsense %}");
  CHECK(contains(error_of([&] { read_chat_format(folder); }), "chat_template.jinja:2: "));
}
