// A chat template of an untrusted folder: rendered on a fixed conversation, every byte of the text has an
// origin.
#include "data/templates/chat_template.h"
#include "tests/fuzz/target.h"

namespace lathe::fuzz {
namespace {

const Json& conversation() {
  static const Json messages = parse_json(
      R"([{"role": "system", "content": " be brief "}, {"role": "user", "content": "a<|im_end|>é"},
          {"role": "assistant", "content": "", "tool_calls": [{"id": "123456789", "function": {"name": "f",
           "arguments": {"x": [1, 2.5, null, true, {"y": "z"}]}}}]},
          {"role": "tool", "content": "r"}, {"role": "assistant", "content": "done\n"}])",
      "conversation");
  return messages;
}

void run(std::string_view bytes) {
  const ChatTemplate chat = ChatTemplate::parse(std::string(bytes), "fuzz");
  for (const bool prompt : {false, true}) {
    ChatInput input;
    input.messages = conversation();
    input.add_generation_prompt = prompt;
    input.variables = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
    input.now = 0;
    const RenderedChat made = chat.render(input);
    std::size_t covered = 0;
    for (const OriginRun& run : made.runs) {
      promise(run.begin == covered && run.length > 0 && run.source < made.origins.size());
      covered += run.length;
    }
    promise(covered == made.text.size());
    for (const ByteRange& range : made.generation) promise(range.begin < range.end && range.end <= covered);
  }
}

std::vector<std::string> seeds() {
  std::vector<std::string> out;
  for (const char* name : {"turns_tools", "headers_trimmed", "brackets_alternating", "once_at_the_end",
                           "generation_blocks", "schema_macros", "indexed"}) {
    out.push_back(read_source_file(std::string("tests/fixtures/templates/") + name + ".jinja"));
  }
  out.push_back("{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}");
  out.push_back("{% set ns = namespace() %}{% set ns.a = [ns, ns] %}{{ ns.a == ns.a }}{{ ns.a | tojson }}");
  out.push_back(
      "{{ ('%5d' % 3) ~ 'a'.center(9) ~ 2 ** 62 * 2 ~ 'x' * 99 ~ messages | map('length') | sum }}");
  return out;
}

}  // namespace

Target chat_template_target() {
  return {"chat_template",
          run,
          seeds,
          {"{{ ",        " }}",         "{% ",
           " %}",        "{%- ",        " -%}",
           "{#",         "#}",          "for m in messages",
           "endfor",     "if ",         "endif",
           "set x = ",   "macro m(a)",  "endmacro",
           "call ",      "endcall",     "generation",
           "loop.index", "messages[0]", "| tojson",
           "| join",     "| map(",      "is defined",
           "not ",       "in ",         "range(9)",
           "namespace(", "**",          "//",
           "~",          "[::-1]",      "'",
           "\"",         "\\x",         "(",
           ")",          ".",           ","},
          1500};
}

}  // namespace lathe::fuzz
