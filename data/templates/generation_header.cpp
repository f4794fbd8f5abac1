#include <optional>
#include <utility>

#include "data/templates/supervision.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

// What was written, statement by statement.
std::vector<std::pair<std::size_t, std::string>> pieces_of(const RenderedChat& chat) {
  std::vector<std::pair<std::size_t, std::string>> out;
  for (std::size_t i = 0; i < chat.pieces.size(); ++i) {
    const std::size_t end = i + 1 < chat.pieces.size() ? chat.pieces[i + 1].begin : chat.text.size();
    out.emplace_back(chat.pieces[i].statement,
                     chat.text.substr(chat.pieces[i].begin, end - chat.pieces[i].begin));
  }
  return out;
}

std::optional<std::string> header_of(const ChatTemplate& chat_template, ChatInput& input) {
  try {
    input.add_generation_prompt = true;
    const auto with = pieces_of(chat_template.render(input));
    input.add_generation_prompt = false;
    const auto without = pieces_of(chat_template.render(input));
    std::size_t same = 0;
    while (same < with.size() && same < without.size() && with[same] == without[same]) ++same;
    std::string header;
    for (std::size_t i = same; i < with.size(); ++i) header += with[i].second;
    return header;
  } catch (const Error&) {  // it refuses such a conversation
    return std::nullopt;
  }
}

}  // namespace

std::string generation_header(const ChatTemplate& chat_template, ChatInput input) {
  Json before = Json::array();
  std::size_t last = input.messages.size();
  while (last > 0 && !is_assistant(input.messages[last - 1])) --last;
  for (std::size_t i = 0; i + 1 < last; ++i) before.push_back(input.messages[i]);
  if (!before.empty()) {  // the place where the last answer was given
    ChatInput shorter = input;
    shorter.messages = std::move(before);
    if (auto header = header_of(chat_template, shorter)) return *header;
  }
  return header_of(chat_template, input).value_or("");
}

}  // namespace lathe
