#include "data/templates/call_arguments.h"

namespace lathe {

Json with_parsed_arguments(const Json& messages) {
  Json out = messages;
  for (Json& message : out) {
    const auto calls = message.is_object() ? message.find("tool_calls") : message.end();
    if (calls == message.end() || !calls->is_array()) continue;
    for (Json& call : *calls) {
      if (!call.is_object()) continue;
      Json& function = call.contains("function") && call["function"].is_object() ? call["function"] : call;
      const auto arguments = function.find("arguments");
      if (arguments == function.end() || !arguments->is_string()) continue;
      Json parsed = Json::parse(arguments->get_ref<const std::string&>(), nullptr, false);
      if (parsed.is_object()) *arguments = std::move(parsed);
    }
  }
  return out;
}

}  // namespace lathe
