#pragma once
// Characters as Python's str sees them, since the libraries whose values the metrics reproduce are written in
// it. Bytes that are no UTF-8 (a model may stop inside a character) become U+FFFD first. Pure functions.
#include <string>
#include <string_view>
#include <vector>

#include "data/io/utf8.h"

namespace lathe {

std::u32string characters(std::string_view text);
std::string to_utf8(std::u32string_view text);
bool is_python_word(char32_t c);                   // \w of re: str.isalnum or '_'; combining marks are not
std::u32string lower_case(std::string_view text);  // str.lower: full Unicode mapping, final sigma included
std::vector<std::u32string> split_words(std::u32string_view text);  // str.split()

}  // namespace lathe
