// The template language against goldens of transformers' Jinja (scripts/make_template_goldens.py), and its
// limits.
#include <chrono>

#include "support.h"
#include "tests/catch.h"

using namespace lathe;
using namespace lathe::test;

TEST_CASE("every case of the language renders or refuses as transformers does") {
  const Json golden = read_json(fixture_path("cases.json"));
  REQUIRE(golden["cases"].size() > 200);
  for (const Json& item : golden["cases"]) {
    const auto source = item["template"].get<std::string>();
    ChatInput input{.messages = golden["messages"], .tools = nullptr, .documents = nullptr};
    input.variables = golden["variables"];
    input.now = golden["now"].get<std::int64_t>();
    std::string text, error;
    try {
      text = ChatTemplate::parse(source, "case").render(input).text;
    } catch (const Error& e) {
      error = e.what();
    }
    INFO(source << "\nerror: " << error);
    if (item.contains("error")) {
      INFO("wanted a refusal: " << item["error"] << "\nfound " << text);
      CHECK(contains(error, "case:"));
    } else {
      CHECK(error.empty());
      CHECK(text == item["text"].get<std::string>());
    }
  }
}

TEST_CASE("errors name the template, the line and the construct") {
  const auto error = [](const std::string& source) { return error_of([&] { render_text(source); }); };
  CHECK(contains(error("a\nb\n{% trans %}"), "t:3: '{% trans %}' is not a block"));
  CHECK(contains(error("\n{{ x | groupby('a') }}"), "t:2: there is no filter 'groupby'"));
  CHECK(contains(error("{{ 1 is prime }}"), "there is no test 'prime'"));
  CHECK(contains(error("{% for x in [1] recursive %}{% endfor %}"), "recursive loops are not supported"));
  CHECK(contains(error("{{ 'a'.zfill(3) }}"), "'zfill' is not supported"));
  CHECK(contains(error("{{ a\n.b\n.c }}"), "'a' is undefined"));
  CHECK(contains(error("{{ [].append(1) }}"), "'append' would change the list"));
  CHECK(contains(error("x\n{{ raise_exception('stop ' ~ 3) }}"),
                 "t:2: the template refuses this conversation: stop 3"));
  CHECK(contains(error("{% if true %}\nx"), "never closed; add '{% endif %}'"));
  CHECK(contains(error("{{ strftime_now('%Y') }}"), "strftime_now"));
  CHECK(contains(error("{{ 'abc"), "string is never closed"));
  CHECK(contains(error("{{ x"), "'{{' is never closed"));
  CHECK(contains(error("{% include 'other' %}"), "'{% include %}' is not a block"));
}

TEST_CASE("hostile templates end with an error in bounded time") {
  const auto begin = std::chrono::steady_clock::now();
  const std::string grow =
      "{% set ns = namespace(x='aaaaaaaaaa') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor "
      "%}";
  CHECK(contains(error_of([&] { render_text(grow); }), "MB"));
  CHECK(contains(error_of([] {
                   render_text(
                       "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}");
                 }),
                 "steps"));
  CHECK(contains(error_of([] { render_text("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"); }),
                 "nested too deep"));
  CHECK(contains(error_of([] { render_text("{{ 'a' * 999999999999 }}"); }), "longer than"));
  CHECK(contains(error_of([] { render_text("{{ [1] * 999999999999 }}"); }), "items"));
  CHECK(contains(error_of([] { render_text("{{ 9 ** 99 ** 9 }}"); }), "overflow"));
  CHECK(contains(error_of([] { render_text("{{ 'x'.center(10 ** 12) }}"); }), "width"));
  const std::string nest =
      "{% set ns = namespace(x=[1, 2]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ "
      "ns.x }}";
  CHECK(contains(error_of([&] { render_text(nest); }), "parts"));
  CHECK(contains(
      error_of([] { render_text("{{ " + std::string(5000, '(') + "1" + std::string(5000, ')') + " }}"); }),
      "nested deeper"));
  std::string chain = "1";
  for (int i = 0; i < 5000; ++i) chain += "+1";
  CHECK(contains(error_of([&] { render_text("{{ " + chain + " }}"); }), "levels"));
  std::string blocks;
  for (int i = 0; i < 5000; ++i) blocks += "{% if true %}";
  CHECK(contains(error_of([&] { render_text(blocks); }), "nested deeper"));
  CHECK(contains(error_of([] { render_text("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}"); }),
                 "nested deeper"));
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(60));
}

TEST_CASE("cut and changed templates never crash") {
  std::uint64_t state = 7;
  const auto draw = [&](std::size_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>((state >> 33) % below);
  };
  const std::string bits[] = {"{%",   "%}", "{{", "}}",  "{#", "-",        "|",    "(",   ")",   "[",
                              "]",    "'",  "\"", "for", "if", "in",       "is",   "not", "set", "endfor",
                              "else", ".",  ",",  ":",   "**", "messages", "\xC3", "\0",  "\\"};
  ChatInput input;
  input.messages = {{{"role", "user"}, {"content", "a"}}, {{"role", "assistant"}, {"content", "b"}}};
  input.now = 0;
  std::size_t rendered = 0, refused = 0;
  for (const char* name : {"turns_tools.jinja", "schema_macros.jinja", "brackets_alternating.jinja",
                           "generation_blocks.jinja"}) {
    const std::string whole = fixture_text(name);
    for (int round = 0; round < 400; ++round) {
      std::string source = round % 4 == 0 ? whole.substr(0, draw(whole.size())) : whole;
      for (std::size_t i = draw(4); i > 0 && !source.empty(); --i) {
        const std::size_t at = draw(source.size());
        source.replace(at, draw(6), bits[draw(std::size(bits))]);
      }
      try {
        ChatTemplate::parse(source, name).render(input);
        ++rendered;
      } catch (const Error&) {
        ++refused;
      }
    }
  }
  CHECK(rendered > 50);
  CHECK(refused > 500);
}
