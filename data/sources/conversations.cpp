#include "data/sources/conversations.h"

#include <string_view>
#include <utility>

namespace lathe {
namespace {

struct RoleName {
  std::string_view found, role;
};
constexpr RoleName kRoles[] = {
    {"system", "system"},       {"developer", "developer"},
    {"user", "user"},           {"human", "user"},
    {"assistant", "assistant"}, {"gpt", "assistant"},
    {"chatgpt", "assistant"},   {"model", "assistant"},
    {"bot", "assistant"},       {"chatbot", "assistant"},
    {"tool", "tool"},           {"observation", "tool"},
    {"function", "tool"},       {"function_response", "tool"},
    {"ipython", "tool"},        {"function_call", "call"},
    {"tool_call", "call"},
};

std::string_view role_of(const std::string& found, const std::string& where) {
  std::string lower = found;
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  for (const auto& name : kRoles) {
    if (name.found == lower) return name.role;
  }
  fail_usage(where, ": role '", found,
             "': wanted system, user, assistant or tool (human and gpt are read too)");
}

const char* kind_of(const Json& value) {
  return value.is_null()     ? "null"
         : value.is_array()  ? "a list"
         : value.is_object() ? "an object"
                             : value.type_name();
}

// One content of blocks: [{type: text, text}] (OpenAI) or [{text}] (Bedrock).
std::string text_of_blocks(const Json& blocks, const std::string& where) {
  std::string text;
  for (const auto& block : blocks) {
    const bool is_text = block.is_object() && block.contains("text") && block["text"].is_string();
    if (!is_text) {
      const std::string type = block.is_object() && block.contains("type") && block["type"].is_string()
                                   ? block["type"].get<std::string>()
                               : block.is_object() && !block.empty() ? block.begin().key()
                                                                     : kind_of(block);
      fail_usage(where, ": content: wanted text blocks only, found '", type, "'; this trainer reads texts");
    }
    text += block["text"].get_ref<const std::string&>();
  }
  return text;
}

Json call_of(const std::string& text, const std::string& where) {
  Json call;
  try {
    call = parse_json(text, where);
  } catch (const Error& e) {
    fail_usage(e.what(), "; a function_call must be JSON {name, arguments}");
  }
  Json calls = Json::array();
  for (auto& one : call.is_array() ? call : Json::array({call})) {
    if (!one.is_object() || !one.contains("name")) {
      fail_usage(where, ": function_call: wanted JSON {\"name\": ..., \"arguments\": {...}}, found ",
                 kind_of(one));
    }
    calls.push_back({{"type", "function"}, {"function", one}});
  }
  return calls;
}

// Sharegpt's from/value under the usual names.
Json renamed(const Json& message) {
  Json out = Json::object();
  for (const auto& [key, value] : message.items()) {
    out[key == "from" ? "role" : key == "value" ? "content" : key] = value;
  }
  return out;
}

Json read_message(const Json& found, const std::string& where) {
  if (!found.is_object()) fail_usage(where, ": wanted {role, content}, found ", kind_of(found));
  const bool sharegpt = found.contains("from") && !found.contains("role");
  Json message = sharegpt ? renamed(found) : found;
  if (!message.contains("role") || !message["role"].is_string()) {
    fail_usage(where, ": wanted 'role' (system, user, assistant, tool), found ",
               message.contains("role") ? kind_of(message["role"]) : "none");
  }
  const std::string_view role = role_of(message["role"].get<std::string>(), where);
  message["role"] = role == "call" ? "assistant" : std::string(role);
  const bool calls =
      message.contains("tool_calls") && message["tool_calls"].is_array() && !message["tool_calls"].empty();
  if (!message.contains("content") || message["content"].is_null()) {
    if (!calls)
      fail_usage(where, ": wanted 'content' as text, found ", message.contains("content") ? "null" : "none");
    message["content"] = "";
    return message;
  }
  Json& content = message["content"];
  if (content.is_array()) content = text_of_blocks(content, where);
  if (!content.is_string()) fail_usage(where, ": 'content': wanted text, found ", kind_of(content));
  if (role == "call") {
    message["tool_calls"] = call_of(content.get<std::string>(), where);
    message["content"] = "";
  }
  return message;
}

}  // namespace

Json read_messages(const Json& list, const std::string& where) {
  if (!list.is_array()) fail_usage(where, ": wanted a list of {role, content}, found ", kind_of(list));
  if (list.empty())
    fail_usage(where, ": the list of messages is empty; wanted at least a user's and an assistant's");
  Json messages = Json::array();
  bool answered = false;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string place = cat(where, ": message ", i + 1);
    messages.push_back(read_message(list[i], place));
    const Json& role = messages.back()["role"];
    answered |= role == "assistant";
    if (role == "system" && i > 0) {
      fail_usage(place, ": a system message must be the first; chat templates refuse or drop others");
    }
  }
  if (!answered) fail_usage(where, ": wanted at least one assistant message to learn from, found none");
  return messages;
}

Json read_tools(const Json& value, const std::string& where) {
  Json tools = value;
  if (tools.is_string()) {
    const std::string text = tools.get<std::string>();
    if (text.find_first_not_of(" \t\r\n") == text.npos) return nullptr;
    tools = parse_json(text, where + ": 'tools'");
  }
  if (tools.is_null() || (tools.is_array() && tools.empty())) return nullptr;
  if (!tools.is_array())
    fail_usage(where, ": 'tools': wanted a list of function schemas, found ", kind_of(tools));
  for (auto& tool : tools) {
    if (!tool.is_object())
      fail_usage(where, ": 'tools': wanted {type: function, function: {...}}, found ", kind_of(tool));
    if (tool.contains("name") && !tool.contains("function")) {
      Json function = std::move(tool);
      tool = Json{{"type", "function"}, {"function", std::move(function)}};
    }
  }
  return tools;
}

void put_system(const Json& system, Json& messages, const std::string& where) {
  if (system.is_null()) return;
  if (!system.is_string() && !system.is_array()) {
    fail_usage(where, ": 'system': wanted text, found ", kind_of(system));
  }
  const std::string text =
      system.is_string() ? system.get<std::string>() : text_of_blocks(system, where + ": 'system'");
  if (text.empty()) return;
  if (!messages.empty() && messages[0]["role"] == "system") {
    fail_usage(where, ": a system prompt stands both beside and inside the messages; keep one");
  }
  messages.insert(messages.begin(), Json{{"role", "system"}, {"content", text}});
}

}  // namespace lathe
