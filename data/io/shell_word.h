#pragma once
// Command lines that a user can copy.
#include <string>

namespace lathe {

// A word of a shell's command line: as it is where that is safe, else in single quotes.
std::string shell_word(const std::string& text);

}  // namespace lathe
