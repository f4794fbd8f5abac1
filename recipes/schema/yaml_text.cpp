#include "recipes/schema/yaml_text.h"

#include <algorithm>
#include <utility>

#include "recipes/schema/error.h"
#include "recipes/schema/yaml.h"

namespace lathe {

namespace {

std::string hex_byte(unsigned char byte) {
  constexpr char digits[] = "0123456789abcdef";
  return {'0', 'x', digits[byte >> 4], digits[byte & 15]};
}

}  // namespace

int utf8_length_at(const std::string& text, std::size_t at) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const auto follows = [&](int count) {
    for (int i = 1; i <= count; ++i) {
      if ((byte(at + i) & 0xC0u) != 0x80u) return false;
    }
    return true;
  };
  const unsigned lead = byte(at), second = byte(at + 1);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return follows(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const bool overlong = lead == 0xE0 && second < 0xA0, surrogate = lead == 0xED && second > 0x9F;
    return follows(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const bool overlong = lead == 0xF0 && second < 0x90, beyond = lead == 0xF4 && second > 0x8F;
    return follows(3) && !overlong && !beyond ? 4 : 0;
  }
  return 0;
}

YamlText::YamlText(const std::string& raw, std::string file) : file_(std::move(file)) {
  text_.reserve(std::min(raw.size(), kMaxRecipeBytes));
  for (std::size_t i = raw.starts_with("\xEF\xBB\xBF") ? 3 : 0; i < raw.size(); ++i) {
    if (raw[i] == '\r' && i + 1 < raw.size() && raw[i + 1] == '\n') continue;
    text_ += raw[i];
  }
  line_starts_.push_back(0);
  for (std::size_t i = 0; i < text_.size(); ++i) {
    if (text_[i] == '\n') line_starts_.push_back(i + 1);
  }
}

std::optional<RecipeProblem> YamlText::flaw() const {
  if (text_.size() > kMaxRecipeBytes) {
    return RecipeProblem{
        {file_, 1, 1}, cat("the file has ", text_.size(), " bytes; a recipe has at most ", kMaxRecipeBytes)};
  }
  if (auto flaw = bad_byte()) return flaw;
  return tab_indent();
}

std::optional<RecipeProblem> YamlText::bad_byte() const {
  for (std::size_t i = 0; i < text_.size();) {
    const int length = utf8_length_at(text_, i);
    const auto byte = static_cast<unsigned char>(text_[i]);
    if (length == 0) {
      return RecipeProblem{place_of_byte(i),
                           cat("byte ", hex_byte(byte), " is not UTF-8; save the file as UTF-8")};
    }
    if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F) {
      return RecipeProblem{place_of_byte(i), cat("control character ", hex_byte(byte), "; remove it")};
    }
    i += static_cast<std::size_t>(length);
  }
  return std::nullopt;
}

std::optional<RecipeProblem> YamlText::tab_indent() const {
  for (std::size_t start : line_starts_) {
    const std::size_t end = std::min(text_.find('\n', start), text_.size());
    const std::size_t first = std::min(text_.find_first_not_of(" \t", start), end);
    const std::size_t tab = text_.find('\t', start);
    if (first < end && tab < first)
      return RecipeProblem{place_of_byte(tab), "a tab indents this line; YAML wants spaces"};
  }
  return std::nullopt;
}

Place YamlText::place(int line, int byte_column) const {
  if (line < 0 || line_starts_.empty()) return {file_, 1, 1};
  const auto index = std::min<std::size_t>(static_cast<std::size_t>(line), line_starts_.size() - 1);
  const std::size_t begin = line_starts_[index];
  const std::size_t end = std::min(begin + static_cast<std::size_t>(std::max(byte_column, 0)), text_.size());
  int column = 1;
  for (std::size_t i = begin; i < end; ++i) column += (static_cast<unsigned char>(text_[i]) & 0xC0u) != 0x80u;
  return {file_, static_cast<int>(index) + 1, column};
}

bool YamlText::quote_closes(int line, int byte_column) const {
  if (line < 0 || static_cast<std::size_t>(line) >= line_starts_.size()) return true;
  std::size_t i =
      line_starts_[static_cast<std::size_t>(line)] + static_cast<std::size_t>(std::max(byte_column, 0));
  while (i < text_.size() && (text_[i] == '&' || text_[i] == '!')) {  // an anchor or a tag comes first
    i = text_.find_first_of(" \n", i);
    i = std::min(text_.find_first_not_of(" \n", i), text_.size());
  }
  if (i >= text_.size() || (text_[i] != '"' && text_[i] != '\'')) return true;
  const char quote = text_[i];
  for (++i; i < text_.size(); ++i) {
    const bool doubled = quote == '\'' && i + 1 < text_.size() && text_[i + 1] == quote;
    if (text_[i] == quote && !doubled) return true;
    if (text_[i] == quote || (text_[i] == '\\' && quote == '"')) ++i;
  }
  return false;
}

Place YamlText::place_of_byte(std::size_t byte) const {
  const auto next = std::upper_bound(line_starts_.begin(), line_starts_.end(), byte);
  const auto line = next - line_starts_.begin() - 1;
  return place(static_cast<int>(line), static_cast<int>(byte - line_starts_[static_cast<std::size_t>(line)]));
}

}  // namespace lathe
