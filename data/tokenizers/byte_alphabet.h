#pragma once
// GPT-2's way to write bytes as printable characters: the 188 visible Latin-1 characters stand for
// themselves, the other 68 bytes for U+0100, U+0101 ... in order.
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lathe {

const std::array<std::string, 256>& byte_characters();
std::string to_byte_alphabet(std::string_view bytes);
// Nothing when a character is outside the alphabet.
std::optional<std::string> from_byte_alphabet(std::string_view text);

}  // namespace lathe
