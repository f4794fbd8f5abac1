#pragma once
// UTF-8 checks (Unicode 15, table 3-7: no surrogates, no overlong forms).
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lathe {

// Byte offset of the first invalid sequence; nothing when all is well.
std::optional<std::size_t> first_invalid_utf8(std::string_view text);
// Invalid bytes become U+FFFD (one a maximal subpart); `replaced` counts them.
std::string replace_invalid_utf8(std::string_view text, std::size_t* replaced = nullptr);
// Code point at `at` (valid UTF-8 assumed) and its length in bytes.
struct CodePoint {
  char32_t value;
  std::size_t length;
};
CodePoint decode_utf8(std::string_view text, std::size_t at);
void append_utf8(std::string& out, char32_t code_point);
std::size_t count_characters(std::string_view text);

// Python's str.isspace of one character.
bool is_python_space(char32_t c);

}  // namespace lathe
