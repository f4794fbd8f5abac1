#include "data/sources/example_text.h"

#include <unicode/bytestream.h>
#include <unicode/casemap.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>

#include <numeric>
#include <unordered_map>

#include "data/io/utf8.h"
#include "data/sources/near_duplicates.h"

namespace lathe {
namespace {

std::string text_of_message(const Json& message) {
  std::string text;
  if (const auto content = message.find("content"); content != message.end() && content->is_string()) {
    text = content->get_ref<const std::string&>();
  }
  if (const auto calls = message.find("tool_calls"); calls != message.end() && !calls->is_null())
    text += calls->dump();
  return text;
}

std::string role_of(const Json& message) { return message.value("role", std::string()); }

// The index of the last assistant message; the number of messages when there is none.
std::size_t last_answer(const Json& messages) {
  for (std::size_t i = messages.size(); i-- > 0;) {
    if (role_of(messages[i]) == "assistant") return i;
  }
  return messages.size();
}

icu::StringPiece piece_of(std::string_view text) {
  return {text.data(), static_cast<std::int32_t>(text.size())};
}

std::string composed(std::string_view text) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* form = icu::Normalizer2::getNFCInstance(status);
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  form->normalizeUTF8(0, piece_of(text), sink, nullptr, status);
  require(U_SUCCESS(status), "Unicode tables: NFC: ", u_errorName(status));
  return out;
}

}  // namespace

std::string asked_text(const Example& example) {
  if (example.kind == ExampleKind::Text) return {};
  if (example.kind == ExampleKind::PromptCompletion) return example.prompt;
  std::string text = example.tools.is_null() ? "" : example.tools.dump() + "\n";
  const std::size_t end = last_answer(example.messages);
  for (std::size_t i = 0; i < end; ++i) {
    text += role_of(example.messages[i]) + ": " + text_of_message(example.messages[i]) + "\n";
  }
  return text;
}

std::string answer_text(const Example& example) {
  if (example.kind != ExampleKind::Chat) return example.completion;
  const std::size_t at = last_answer(example.messages);
  return at < example.messages.size() ? text_of_message(example.messages[at]) : std::string();
}

Example through_last_answer(Example example) {
  if (example.kind != ExampleKind::Chat) return example;
  const std::size_t at = last_answer(example.messages);
  while (at + 1 < example.messages.size()) example.messages.erase(example.messages.size() - 1);
  return example;
}

std::string whole_text(const Example& example) {
  if (example.kind == ExampleKind::Text) return example.completion;
  if (example.kind == ExampleKind::PromptCompletion) return example.prompt + "\n" + example.completion;
  std::string text = example.tools.is_null() ? "" : example.tools.dump() + "\n";
  for (const auto& message : example.messages)
    text += role_of(message) + ": " + text_of_message(message) + "\n";
  return text;
}

void visit_texts(const Example& example,
                 const std::function<void(const std::string& place, std::string_view text)>& visit) {
  if (example.kind == ExampleKind::Text) {
    visit("text", example.completion);
  } else if (example.kind == ExampleKind::PromptCompletion) {
    visit("prompt", example.prompt);
    visit("completion", example.completion);
  } else {
    for (std::size_t i = 0; i < example.messages.size(); ++i) {
      visit(cat("message ", i + 1), text_of_message(example.messages[i]));
    }
  }
}

std::string fold_text(std::string_view text) {
  require(text.size() < (std::size_t{1} << 30), "a text of ", text.size(),
          " bytes is too long to be compared; split it");
  std::string folded;
  icu::StringByteSink<std::string> sink(&folded);
  UErrorCode status = U_ZERO_ERROR;
  const std::string normal = composed(replace_invalid_utf8(text));
  icu::CaseMap::utf8Fold(0, piece_of(normal), sink, nullptr, status);
  require(U_SUCCESS(status), "Unicode tables: case folding: ", u_errorName(status));
  folded = composed(folded);
  std::string out;
  out.reserve(folded.size());
  bool space = false;
  for (std::size_t at = 0; at < folded.size();) {
    const CodePoint c = decode_utf8(folded, at);
    if (u_isUWhiteSpace(static_cast<UChar32>(c.value))) {
      space = !out.empty();
    } else {
      if (space) out += ' ';
      space = false;
      out.append(folded, at, c.length);
    }
    at += c.length;
  }
  return out;
}

std::vector<std::uint32_t> related_examples(const std::vector<Example>& examples) {
  std::vector<std::string> texts;
  for (const auto& example : examples) texts.push_back(fold_text(whole_text(example)));
  std::vector<std::uint32_t> parent = near_duplicate_groups(without_shared_runs(texts));
  const auto root = [&](std::uint32_t i) {
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
  };
  std::unordered_map<std::string, std::uint32_t> asked;
  for (std::uint32_t i = 0; i < examples.size(); ++i) {
    std::string question = fold_text(asked_text(examples[i]));
    if (question.empty()) continue;
    const std::uint32_t a = root(asked.try_emplace(std::move(question), i).first->second), b = root(i);
    parent[std::max(a, b)] = std::min(a, b);
  }
  for (std::uint32_t i = 0; i < parent.size(); ++i) parent[i] = root(i);
  return parent;
}

}  // namespace lathe
