#pragma once
// Signs in a text that something went wrong before it got here: marks of a chat format inside a content, and
// characters that a wrong charset left behind. Pure functions.
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace lathe {

// The first string that a model would take for the beginning of another turn, as it stands in the text:
// "<|im_start|>",
// "[INST]", "### Response", or "User:" and its kin at the beginning of a line. Bedrock's validators refuse
// such data.
std::optional<std::string> role_mark(std::string_view text);

// What of the text looks like UTF-8 that was once read as CP1252 or Latin-1, U+FFFD, or control characters of
// Latin-1: the first such piece. Conservative: French typography (a closing guillemet behind a no-break
// space) is none.
std::optional<std::string> encoding_damage(std::string_view text);

// A control character below U+0020 other than tab and line ends, as "U+0000"; nothing when there is none.
std::optional<std::string> control_character(std::string_view text);

}  // namespace lathe
