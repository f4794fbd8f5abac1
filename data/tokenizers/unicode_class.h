#pragma once
// Unicode general categories as the pre-tokenizer patterns see them: letter \p{L}, number \p{N}, white space
// \s, the rest.
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lathe {

enum class CharClass : std::uint8_t { Other, Letter, Number, Space };

// One byte a code point, filled once from ICU.
const CharClass* char_classes();

struct Scanned {
  char32_t value;
  std::uint32_t length;
};

// The character at text[at], at < text.size(). A byte that starts no whole sequence is a character of its
// own, U+FFFD, so that scanners survive any bytes and never read past the end.
inline Scanned scan_utf8(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t left = text.size() - at;
  const auto tail = [&](std::size_t i) { return i < left && (byte(i) & 0xC0) == 0x80; };
  if (lead >= 0xC2 && lead < 0xE0 && tail(1)) {
    return {static_cast<char32_t>((lead & 0x1F) << 6 | (byte(1) & 0x3F)), 2};
  }
  if (lead >= 0xE0 && lead < 0xF0 && tail(1) && tail(2)) {
    return {static_cast<char32_t>((lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F)), 3};
  }
  if (lead >= 0xF0 && lead < 0xF5 && tail(1) && tail(2) && tail(3)) {
    const auto value = static_cast<char32_t>((lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 |
                                             (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F));
    if (value < 0x110000) return {value, 4};
  }
  return {0xFFFD, 1};
}

bool is_white_space(char32_t c);     // the property White_Space, as \s
bool is_word_character(char32_t c);  // \w: letters, marks, decimal numbers, connectors

}  // namespace lathe
