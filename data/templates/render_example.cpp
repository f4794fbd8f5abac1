#include "data/templates/render_example.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "data/templates/call_arguments.h"
#include "data/templates/render_answers.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

TokenId end_of_text(const Tokenizer& tokenizer) {
  const auto eos = tokenizer.special().eos;
  require(eos.has_value(),
          "the tokenizer names no end-of-text token (eos_token), so a model could never learn to stop; "
          "name one in tokenizer_config.json");
  return *eos;
}

// Builds a TokenExample token by token.
class Writer {
 public:
  explicit Writer(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void token(TokenId id, bool supervised) { token(id, supervised, tokenizer_.token_text(id)); }
  void token(TokenId id, bool supervised, std::string piece) {
    out_.ids.push_back(id);
    out_.supervised.push_back(supervised ? 1 : 0);
    out_.pieces.push_back(std::move(piece));
  }
  void text(const std::string& text, bool supervised) {
    const Encoding encoded = tokenizer_.encode(text);
    for (std::size_t i = 0; i < encoded.ids.size(); ++i) {
      token(encoded.ids[i], supervised, text.substr(encoded.begin[i], encoded.end[i] - encoded.begin[i]));
    }
  }
  void leading() {
    for (const TokenId id : leading_tokens(tokenizer_)) token(id, false);
  }
  bool any() const {
    return std::find(out_.supervised.begin(), out_.supervised.end(), 1) != out_.supervised.end();
  }
  TokenExample take() { return std::move(out_); }

 private:
  const Tokenizer& tokenizer_;
  TokenExample out_;
};

Json messages_of(const Example& example) {
  if (example.kind == ExampleKind::Chat) return example.messages;
  Json messages = Json::array();
  messages.push_back({{"role", "user"}, {"content", example.prompt}});
  messages.push_back({{"role", "assistant"}, {"content", example.completion}});
  return messages;
}

struct Conversation {
  const ChatTemplate& chat_template;
  ChatInput input;
};

// With the arguments of tool calls as objects, unless the template wants them as text (it joins them to
// text).
Conversation with_objects(Conversation given) {
  Json parsed = with_parsed_arguments(given.input.messages);
  if (parsed == given.input.messages) return given;
  Conversation other = given;
  other.input.messages = std::move(parsed);
  try {
    other.chat_template.render(other.input);
  } catch (const Error&) {
    return given;
  }
  return other;
}

Conversation conversation_of(const Example& example, const Tokenizer& tokenizer, const ChatFormat& format) {
  const ChatTemplate& chat = format.chat_template ? *format.chat_template : plain_chat_template();
  ChatInput input{.messages = messages_of(example), .tools = example.tools, .documents = nullptr};
  input.now = format.now;
  input.variables = format.variables;
  if (!format.chat_template) {
    input.variables["eos_token"] = tokenizer.token_text(end_of_text(tokenizer));
    std::string front;
    for (const TokenId id : leading_tokens(tokenizer)) front += tokenizer.token_text(id);
    input.variables["bos_token"] = front;
  }
  return with_objects({chat, std::move(input)});
}

// The bytes where control tokens stay text: whatever a message, tool or document brought, but a plain role,
// which templates build headers from.
std::vector<ByteRange> literal_ranges(const RenderedChat& chat) {
  std::vector<ByteRange> out;
  for (const OriginRun& run : chat.runs) {
    const Origin& origin = chat.origins[run.source];
    if (origin.kind == OriginKind::Template) continue;
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    const char* text = chat.text.data() + run.begin;
    if (origin.path == "role" && std::all_of(text, text + run.length, letter)) continue;
    if (!out.empty() && out.back().end == run.begin) {
      out.back().end += run.length;
    } else {
      out.push_back({run.begin, run.begin + run.length});
    }
  }
  return out;
}

Encoding encode_part(const RenderedChat& chat, const Tokenizer& tokenizer, const ByteRange& part) {
  std::vector<ByteRange> literal;
  for (const ByteRange& range : literal_ranges(chat)) {
    const std::size_t begin = std::max(range.begin, part.begin), end = std::min(range.end, part.end);
    if (begin < end) literal.push_back({begin - part.begin, end - part.begin});
  }
  Encoding out = tokenizer.encode(std::string_view(chat.text).substr(part.begin, part.end - part.begin),
                                  {.add_special = false, .parse_special = true, .literal = literal});
  for (auto* places : {&out.begin, &out.end}) {
    for (std::size_t& place : *places) place += part.begin;
  }
  return out;
}

// Whether the ids in front of `opening` are those of the text in front of it alone.
bool opens_cleanly(const RenderedChat& chat, const Tokenizer& tokenizer, const Encoding& whole,
                   std::size_t opening) {
  const Encoding before = encode_part(chat, tokenizer, {0, opening});
  const std::size_t count = before.ids.size();
  return count <= whole.ids.size() && std::equal(before.ids.begin(), before.ids.end(), whole.ids.begin()) &&
         (count == whole.ids.size() || whole.end[count] > opening);
}

struct OpenedEncoding {
  Encoding encoding;
  std::size_t merged = 0;
  bool apart = true;
};

// The ids of the whole, cut at the openings that the tokenizer would write across.
OpenedEncoding encode_opened(const RenderedChat& chat, const Tokenizer& tokenizer,
                             const std::vector<std::size_t>& openings) {
  OpenedEncoding out{encode_rendered(chat, tokenizer)};
  std::vector<std::size_t> cuts = {0};
  for (const std::size_t opening : openings) {
    if (!opens_cleanly(chat, tokenizer, out.encoding, opening)) cuts.push_back(opening);
  }
  out.merged = cuts.size() - 1;
  if (out.merged == 0) return out;
  cuts.push_back(chat.text.size());
  Encoding parts;
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    const Encoding part = encode_part(chat, tokenizer, {cuts[i], cuts[i + 1]});
    parts.ids.insert(parts.ids.end(), part.ids.begin(), part.ids.end());
    parts.begin.insert(parts.begin.end(), part.begin.begin(), part.begin.end());
    parts.end.insert(parts.end.end(), part.end.begin(), part.end.end());
  }
  out.apart = tokenizer.decode(parts.ids, true) == tokenizer.decode(out.encoding.ids, true);
  if (out.apart) out.encoding = std::move(parts);
  return out;
}

std::vector<SpecialPlace> special_places(const Encoding& encoded, const Tokenizer& tokenizer) {
  std::vector<SpecialPlace> out;
  const auto eos = tokenizer.special().eos;
  for (std::size_t i = 0; i < encoded.ids.size(); ++i) {
    if (tokenizer.is_special(encoded.ids[i])) {
      out.push_back({encoded.begin[i], encoded.end[i], eos && encoded.ids[i] == *eos});
    }
  }
  return out;
}

TokenExample render_chat(const Conversation& conversation, const Tokenizer& tokenizer, LossOn loss_on) {
  const RenderedChat chat = conversation.chat_template.render(conversation.input);
  const std::string header = generation_header(conversation.chat_template, conversation.input);
  const std::vector<SpecialPlace> specials = special_places(encode_rendered(chat, tokenizer), tokenizer);
  const Supervision wanted = supervise(chat, conversation.input.messages, loss_on, header, specials);
  const OpenedEncoding opened = encode_opened(chat, tokenizer, wanted.openings);
  const Encoding& encoded = opened.encoding;
  Writer out(tokenizer);
  auto range = wanted.ranges.begin();
  auto stop = wanted.missing_stops.begin();
  const auto stop_before = [&](std::size_t at) {
    for (; stop != wanted.missing_stops.end() && *stop <= at; ++stop) out.token(end_of_text(tokenizer), true);
  };
  for (std::size_t i = 0; i < encoded.ids.size(); ++i) {
    const std::size_t begin = encoded.begin[i];
    stop_before(begin);
    while (range != wanted.ranges.end() && range->end <= begin) ++range;
    const bool inside = range != wanted.ranges.end() && range->begin < std::max(encoded.end[i], begin + 1);
    const bool front =
        i == 0 && tokenizer.special().bos == encoded.ids[0];  // given to the model, never its answer
    out.token(encoded.ids[i], inside && !front, chat.text.substr(begin, encoded.end[i] - begin));
  }
  stop_before(chat.text.size());
  require(out.any(),
          "nothing in this example is trained on (loss_on leaves no token); it needs an assistant message "
          "that the chat template writes");
  TokenExample example = out.take();
  example.merged = opened.merged;
  example.apart = opened.apart;
  return example;
}

TokenExample render_plain(const Example& example, const Tokenizer& tokenizer, LossOn loss_on) {
  Writer out(tokenizer);
  out.leading();
  if (example.kind == ExampleKind::PromptCompletion) out.text(example.prompt, loss_on == LossOn::All);
  require(!example.completion.empty(),
          example.kind == ExampleKind::Text ? "the text is empty" : "the completion is empty",
          "; nothing would be trained on");
  out.text(example.completion, true);
  out.token(end_of_text(tokenizer), true);
  return out.take();
}

bool uses_chat(const Example& example, const ChatFormat& format) {
  return example.kind == ExampleKind::Chat ||
         (example.kind == ExampleKind::PromptCompletion && format.chat_template);
}

// `action`, with the example's place in front of its errors.
template <class Action>
auto at_origin(const Example& example, Action&& action) {
  try {
    return action();
  } catch (const Error& error) {
    throw Error(example.origin + ": " + error.what(), error.code());
  }
}

}  // namespace

std::vector<TokenId> leading_tokens(const Tokenizer& tokenizer) {
  const Encoding probe = tokenizer.encode("a", {.add_special = true});
  std::vector<TokenId> out;
  for (std::size_t i = 0; i < probe.ids.size(); ++i) {
    if (probe.end[i] > 0 || !tokenizer.is_special(probe.ids[i])) break;
    out.push_back(probe.ids[i]);
  }
  return out;
}

const ChatTemplate& plain_chat_template() {
  static const ChatTemplate plain = ChatTemplate::parse(
      "{{ bos_token }}{% if tools %}{{ raise_exception('a base without a chat template has no way to show "
      "tools') }}"
      "{% endif %}{% for message in messages %}"
      "{% if message.tool_calls %}{{ raise_exception('a base without a chat template has no way to show tool "
      "calls') }}"
      "{% endif %}"
      "{% if message.role == 'assistant' %}{{ 'Assistant:' }}{{ ' ' + message.content + eos_token + '\\n' }}"
      "{% else %}{{ message.role | capitalize + ': ' + message.content + '\\n' }}{% endif %}{% endfor %}"
      "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}",
      "plain chat format");
  return plain;
}

Encoding encode_rendered(const RenderedChat& chat, const Tokenizer& tokenizer) {
  return encode_part(chat, tokenizer, {0, chat.text.size()});
}

namespace {

// A template that ignores tools or calls of tools would teach an empty answer to a question half told.
void require_shown(const Conversation& whole) {
  const auto text_without = [&](const char* key) -> std::optional<std::string> {
    Conversation other = whole;
    if (key == std::string("tools"))
      other.input.tools = nullptr;
    else
      for (Json& message : other.input.messages) message.erase(key);
    try {
      return other.chat_template.render(other.input).text;
    } catch (const Error&) {
      return std::nullopt;  // it minds, so it writes them
    }
  };
  const Json& messages = whole.input.messages;
  const bool calls = std::any_of(messages.begin(), messages.end(), [](const Json& message) {
    return message.contains("tool_calls") && message["tool_calls"].is_array() &&
           !message["tool_calls"].empty();
  });
  const bool tools = whole.input.tools.is_array() && !whole.input.tools.empty();
  if (!calls && !tools) return;
  const std::string text = whole.chat_template.render(whole.input).text;
  for (const auto& [there, key] : {std::pair(calls, "tool_calls"), std::pair(tools, "tools")})
    if (there && text_without(key) == text)
      fail("the base's chat template does not write '", key,
           "', so the model would never see them; take a base "
           "whose template does, or write them into the messages' content");
}

}  // namespace

TokenExample render_example(const Example& example, const Tokenizer& tokenizer, const ChatFormat& format,
                            LossOn loss_on) {
  return at_origin(example, [&] {
    if (!uses_chat(example, format)) return render_plain(example, tokenizer, loss_on);
    require(example.kind == ExampleKind::Chat || !example.completion.empty(),
            "the completion is empty; nothing would be trained on");
    const Conversation conversation = conversation_of(example, tokenizer, format);
    require_shown(conversation);
    return render_chat(conversation, tokenizer, loss_on);
  });
}

TokenPrompt render_prompt(const Example& example, const Tokenizer& tokenizer, const ChatFormat& format) {
  return at_origin(example, [&] {
    TokenPrompt out;
    if (!uses_chat(example, format)) {
      out.text = example.kind == ExampleKind::Text ? example.completion : example.prompt;
      out.ids = leading_tokens(tokenizer);
      const std::vector<TokenId> ids = tokenizer.ids(out.text);
      out.ids.insert(out.ids.end(), ids.begin(), ids.end());
      return out;
    }
    Conversation conversation = conversation_of(example, tokenizer, format);
    Json& messages = conversation.input.messages;
    if (!messages.empty() && is_assistant(messages.back())) messages.erase(messages.size() - 1);
    conversation.input.add_generation_prompt = true;
    const RenderedChat chat = conversation.chat_template.render(conversation.input);
    out.text = chat.text;
    out.ids = encode_rendered(chat, tokenizer).ids;
    return out;
  });
}

std::vector<TokenId> stop_tokens(const Tokenizer& tokenizer, const ChatFormat& format) {
  std::vector<TokenId> stops;
  for (const auto& stop : {tokenizer.special().eos, turn_end(tokenizer, format)})
    if (stop) stops.push_back(*stop);
  std::sort(stops.begin(), stops.end());
  stops.erase(std::unique(stops.begin(), stops.end()), stops.end());
  return stops;
}

}  // namespace lathe
