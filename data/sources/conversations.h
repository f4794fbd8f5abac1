#pragma once
// Conversations in the shapes that are around -> [{role, content, tool_calls ...}] as chat templates read
// them: OpenAI's messages (https://platform.openai.com/docs/guides/fine-tuning), sharegpt's from/value,
// Bedrock's Converse blocks (schemaVersion bedrock-conversation-2024). Contents are kept byte for byte;
// fields not named here are kept too.
#include <string>

#include "data/sources/example.h"

namespace lathe {

// The `messages` list of one record: roles human, user -> user; gpt, model, bot, chatbot -> assistant;
// function_call -> an assistant's tool_calls; observation, function, function_response -> tool. A content of
// text blocks becomes one text; images are an Error. Errors begin with `where` and name the message: a list
// that is empty, a role or content that is missing, no assistant to learn from, a system message that is not
// the first.
Json read_messages(const Json& list, const std::string& where);
// tools: a list of schemas or its JSON text; bare {name, description, parameters} are wrapped as {type:
// function, function}. null or empty: null.
Json read_tools(const Json& value, const std::string& where);
// A system prompt beside the messages, text or Bedrock's [{text}], put in front; empty or null changes
// nothing.
void put_system(const Json& system, Json& messages, const std::string& where);

}  // namespace lathe
