#include "data/io/shell_word.h"

#include <algorithm>
#include <string_view>

namespace lathe {

std::string shell_word(const std::string& text) {
  constexpr std::string_view kSafe =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+=:,@%";
  const bool safe = !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c & 0x80) != 0 || kSafe.find(c) != kSafe.npos;
  });
  if (safe) return text;
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace lathe
