#pragma once
// A model's chat template: Jinja source in, rendered conversations out, each byte with its origin. Immutable
// after parsing and safe to use from several threads. Text equals transformers'
// apply_chat_template(tokenize=False). https://huggingface.co/docs/transformers/chat_templating_writing
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/io/json.h"
#include "data/templates/interpreter.h"
#include "data/tokenizers/tokenizer.h"

namespace lathe {

struct ChatInput {
  Json messages;   // [{role, content, tool_calls ...}]; keys whose value is null count as absent
  Json tools;      // null or a list of schemas
  Json documents;  // null or a list
  bool add_generation_prompt = false;
  Json variables = Json::object();  // further variables: bos_token, eos_token, enable_thinking ...; trusted
                                    // as the template
  // The time for strftime_now, as UTC seconds since 1970; absent: an Error where the template asks.
  std::optional<std::int64_t> now = {};
};

enum class OriginKind { Template, Message, Tool, Document };
struct Origin {
  OriginKind kind = OriginKind::Template;
  std::size_t index = 0;  // of the message, tool or document
  std::string path;       // "content", "tool_calls[0].function.name"; empty for the whole
};

struct OriginRun {
  std::size_t begin, length;
  std::size_t source;  // index into RenderedChat::origins; 0 is the template's own text
};

// What one statement wrote, and in the loop over which message (-1: none).
struct RenderedPiece {
  std::size_t begin;
  std::size_t statement;  // the same number for the same statement of the template
  int message;
};

struct RenderedChat {
  std::string text;
  std::vector<Origin> origins;
  std::vector<OriginRun> runs;        // cover the text
  std::vector<ByteRange> generation;  // inside {% generation %}
  std::vector<RenderedPiece> pieces;  // cover the text
};

class ChatTemplate {
 public:
  // `name` stands in errors: the file it came from.
  static ChatTemplate parse(std::string source, std::string name);
  RenderedChat render(const ChatInput& input) const;
  const std::string& source() const;
  const std::string& name() const;

 private:
  struct Parsed;
  std::shared_ptr<const Parsed> parsed_;
};

}  // namespace lathe
