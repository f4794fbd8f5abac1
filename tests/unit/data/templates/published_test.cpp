// Masks on published templates, where the folder with them is there ($LATHE_SHARED_DATA, else
// ../shared/data).
#include <cstdlib>
#include <filesystem>

#include "support.h"
#include "tests/catch.h"
#include "tests/shared_data.h"

using namespace lathe;
using namespace lathe::test;

namespace {

std::string shared_templates() { return shared_data("chat_templates"); }

Json say(const char* role, const char* content) { return {{"role", role}, {"content", content}}; }

struct Published {
  const char *file, *turns, *call;  // call: null where the template writes no tools
};
const Published kPublished[] = {
    {"meta-llama-Llama-3.1-8B-Instruct", "a1<|eot_id|>~a2<|eot_id|>",
     "{\"name\": \"f\", \"parameters\": {\"x\": 1}}<|eot_id|>~done<|eot_id|>"},
    {"Qwen-Qwen2.5-7B-Instruct", " a1 <|im_end|>~a2<|im_end|>",
     "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call><|im_end|>~done<|im_end|>"},
    {"NousResearch-Hermes-3-Llama-3.1-8B-tool_use", " a1 <|im_end|>~a2<|im_end|>",
     "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call><|im_end|>~done<|im_end|>"},
    {"google-gemma-2-2b-it", "a1<end_of_turn>~a2<end_of_turn>", nullptr},
    {"microsoft-Phi-3.5-mini-instruct", " a1 <|end|>~a2<|end|>", nullptr},
    {"mistralai-Mistral-Nemo-Instruct-2407", " a1 </s>~a2</s>",
     "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"x\": 1}, \"id\": \"123456789\"}]</s>~done</s>"},
    // This one writes no stop behind a call: the end of text is added.
    {"CohereForAI-c4ai-command-r-plus-tool_use", "a1<|END_OF_TURN_TOKEN|>~a2<|END_OF_TURN_TOKEN|>",
     "\nAction:\n```json\n[\n    {\n        \"tool_name\": \"f\",\n        \"parameters\": {\n            "
     "\"x\": 1\n"
     "        }\n    }\n]```\n</s>~done<|END_OF_TURN_TOKEN|>"},
};

}  // namespace

TEST_CASE("published templates: answers and their stop tokens are trained, nothing else") {
  if (skipped_without(shared_templates())) return;
  const auto tokenizer = marked_tokenizer();
  Example turns, call;
  turns.kind = call.kind = ExampleKind::Chat;
  turns.messages = {say("user", "q1"), say("assistant", " a1 "), say("user", "q2"), say("assistant", "a2")};
  call.messages = {say("user", "q"),
                   {{"role", "assistant"}},
                   {{"role", "tool"}, {"content", "r"}, {"tool_call_id", "123456789"}},
                   say("assistant", "done")};
  Json one = {{"id", "123456789"}};
  one["function"] = {{"name", "f"}, {"arguments", {{"x", 1}}}};
  call.messages[1]["tool_calls"] = Json::array({one});
  Json tool = {{"type", "function"}};
  tool["function"] = {{"name", "f"}, {"description", "does"}};
  tool["function"]["parameters"] = {{"type", "object"},
                                    {"properties", {{"x", {{"type", "integer"}, {"description", "d"}}}}},
                                    {"required", {"x"}}};
  call.tools = Json::array({tool});
  for (const Published& published : kPublished) {
    INFO(published.file);
    ChatFormat format;
    format.chat_template = ChatTemplate::parse(
        read_file(shared_templates() + "/" + published.file + ".jinja", 1 << 20), published.file);
    format.variables = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
    const auto trained = [&](const Example& example) {
      return trained_text(render_example(example, *tokenizer, format, LossOn::Assistant));
    };
    turns.tools = published.call ? call.tools : Json();
    CHECK(trained(turns) == published.turns);
    if (published.call) {
      CHECK(trained(call) == published.call);
    } else {  // tools that no turn would show the model
      turns.tools = call.tools;
      CHECK_THROWS(trained(turns));
      CHECK_THROWS(trained(call));
    }
  }
}
