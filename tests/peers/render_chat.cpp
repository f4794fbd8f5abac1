// Renders chat templates for tests/peers/check_templates.py and scripts/make_template_goldens.py: one JSON
// object a line in, one out.
//   {template, messages, tools, documents, add_generation_prompt, variables, now, tokenizer}
//   -> {text, generation, ids} or {error}; `template` is Jinja source; ids where `tokenizer` names a
//   path.
#include <iostream>
#include <map>
#include <string>

#include "data/templates/chat_template.h"
#include "data/templates/render_example.h"

namespace {

using namespace lathe;

const Tokenizer& tokenizer_at(const std::string& path) {
  static std::map<std::string, std::unique_ptr<Tokenizer>> loaded;
  auto& tokenizer = loaded[path];
  if (!tokenizer) tokenizer = load_tokenizer(path);
  return *tokenizer;
}

Json answer(const Json& request) {
  const auto get = [&](const char* key) { return request.contains(key) ? request[key] : Json(); };
  const ChatTemplate chat = ChatTemplate::parse(request.at("template").get<std::string>(), "template");
  ChatInput input{.messages = get("messages"), .tools = get("tools"), .documents = get("documents")};
  input.add_generation_prompt = request.value("add_generation_prompt", false);
  if (request.contains("variables")) input.variables = request["variables"];
  if (request.contains("now")) input.now = request["now"].get<std::int64_t>();
  const RenderedChat rendered = chat.render(input);
  Json out = {{"text", rendered.text}, {"generation", Json::array()}};
  for (const ByteRange& range : rendered.generation) out["generation"].push_back({range.begin, range.end});
  if (request.contains("tokenizer")) {
    out["ids"] = encode_rendered(rendered, tokenizer_at(request["tokenizer"].get<std::string>())).ids;
  }
  return out;
}

}  // namespace

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    Json out;
    try {
      out = answer(parse_json(line, "request"));
    } catch (const std::exception& error) {
      out = {{"error", error.what()}};
    }
    std::cout << out.dump() << "\n" << std::flush;
  }
  return 0;
}
