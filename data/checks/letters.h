#pragma once
// ASCII's letters and digits, whatever the locale. Used by the sources of this folder alone.
#include <string>
#include <string_view>

namespace lathe {

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
inline bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
inline bool is_letter(char c) { return is_upper(c) || is_lower(c); }
inline bool is_alnum(char c) { return is_digit(c) || is_letter(c); }
// \t \n \v \f \r and the space.
inline bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

inline std::string in_lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = is_upper(c) ? static_cast<char>(c + 32) : c;
  return lower;
}

}  // namespace lathe
