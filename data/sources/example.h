#pragma once
// One record of tuning data, whatever file it came from: plain text, a prompt with its completion, or a
// conversation. A question with choices is one of the latter two, answered by the right choice. Plain data;
// texts are UTF-8, kept byte for byte as the file has them.
#include <cstdint>
#include <string>
#include <vector>

#include "data/io/json.h"

namespace lathe {

enum class ExampleKind { Text, PromptCompletion, Chat };

struct Example {
  ExampleKind kind = ExampleKind::PromptCompletion;
  std::string prompt;                // PromptCompletion
  std::string completion;            // PromptCompletion; the whole document for Text
  Json messages;                     // Chat: [{role, content, tool_calls ...}], as chat templates read them
  Json tools;                        // Chat: null or the list of tool schemas
  std::vector<std::string> choices;  // possible answers, the given one among them; empty: an open question
  std::string origin;                // "file.jsonl:12" (1-based record or line), for errors and reports
};

}  // namespace lathe
