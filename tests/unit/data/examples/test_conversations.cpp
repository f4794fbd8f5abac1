#include "data/sources/conversations.h"

#include "tests/catch.h"
#include "tests/unit/data/examples/support.h"

using namespace lathe;

namespace {

std::string message_error(const std::string& list) {
  return error_of([&] { read_messages(Json::parse(list), "a.jsonl:7"); });
}

std::string messages(const std::string& list) { return read_messages(Json::parse(list), "x").dump(); }

}  // namespace

TEST_CASE("messages keep their fields and texts") {
  const std::string list =
      R"([{"role":"user","content":" u \n"},{"role":"assistant","content":"","tool_calls":[{"id":"1","type":"function",)"
      R"("function":{"name":"f","arguments":{"x":1}}}]},{"role":"tool","content":"3","tool_call_id":"1"},)"
      R"({"role":"assistant","content":"three","weight":0}])";
  CHECK(messages(list) == list);
}

TEST_CASE("messages: parts of text become one, other parts are refused by name") {
  CHECK(
      messages(
          R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":"c"}])") ==
      R"([{"role":"user","content":"ab"},{"role":"assistant","content":"c"}])");
  CHECK(contains(message_error(R"([{"role":"user","content":[{"type":"image_url","image_url":{}}]}])"),
                 "a.jsonl:7: message 1: content: wanted text blocks only, found 'image_url'"));
  CHECK(contains(message_error(R"([{"role":"user","content":[{"image":{}}]}])"), "found 'image'"));
}

TEST_CASE("messages: null content needs tool calls") {
  CHECK(messages(R"([{"role":"assistant","content":null,"tool_calls":[{}]}])") ==
        R"([{"role":"assistant","content":"","tool_calls":[{}]}])");
  CHECK(contains(message_error(R"([{"role":"user","content":"a"},{"role":"assistant","content":null}])"),
                 "a.jsonl:7: message 2: wanted 'content' as text, found null"));
}

TEST_CASE("messages: what cannot be learnt from") {
  CHECK(contains(message_error("[]"), "a.jsonl:7: the list of messages is empty"));
  CHECK(contains(message_error("\"hi\""), "wanted a list of {role, content}, found string"));
  CHECK(contains(message_error(R"([{"role":"user","content":"a"}])"), "at least one assistant message"));
  CHECK(contains(message_error(R"([{"content":"a"}])"),
                 "message 1: wanted 'role' (system, user, assistant, tool), found none"));
  CHECK(contains(message_error(R"([{"role":"narrator","content":"a"}])"),
                 "role 'narrator': wanted system, user"));
  CHECK(contains(message_error(R"([{"role":"user","content":3}])"), "'content': wanted text, found number"));
  CHECK(contains(message_error(R"([{"role":"user","content":"a"},{"role":"system","content":"s"}])"),
                 "message 2: a system message must be the first"));
}

TEST_CASE("sharegpt: roles and function calls") {
  CHECK(
      messages(
          R"([{"from":"human","value":"u"},{"from":"function_call","value":"{\"name\": \"f\", \"arguments\": {\"x\": 1}}"},)"
          R"({"from":"observation","value":"{}"},{"from":"gpt","value":"a"}])") ==
      R"([{"role":"user","content":"u"},{"role":"assistant","content":"","tool_calls":[{"type":"function","function":)"
      R"({"name":"f","arguments":{"x":1}}}]},{"role":"tool","content":"{}"},{"role":"assistant","content":"a"}])");
  CHECK(contains(message_error(R"([{"from":"function_call","value":"f of 1"}])"),
                 "a function_call must be JSON"));
}

TEST_CASE("tools: lists, their JSON text, bare schemas wrapped") {
  const std::string wrapped = R"([{"type":"function","function":{"name":"f","parameters":{}}}])";
  CHECK(read_tools(Json::parse(wrapped), "x").dump() == wrapped);
  CHECK(read_tools(Json("[{\"name\":\"f\",\"parameters\":{}}]"), "x").dump() == wrapped);
  CHECK(read_tools(Json(""), "x").is_null());
  CHECK(read_tools(Json::array(), "x").is_null());
  CHECK(contains(error_of([] { read_tools(Json(3), "x"); }), "'tools': wanted a list"));
}

TEST_CASE("a system prompt stands once") {
  Json list = Json::parse(R"([{"role":"system","content":"s"},{"role":"assistant","content":"a"}])");
  CHECK(contains(error_of([&] { put_system(Json("t"), list, "a.jsonl:1"); }), "both beside and inside"));
  put_system(Json(""), list, "x");
  CHECK(list.size() == 2);
}

TEST_CASE("conversations that end with the user are told") {
  const TemporaryFolder folder;
  const auto set = read_examples(folder.write(
      "a.jsonl",
      R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]})"));
  CHECK(contains(set.notes.at(0), "1 conversations do not end with the assistant"));
}
