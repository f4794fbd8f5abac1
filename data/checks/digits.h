#pragma once
// Numbers of persons and companies that are digits in groups: phone, card, NIR, SIRET. Used by personal.h
// alone.
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "data/checks/personal.h"

namespace lathe {

// Bytes of one separator between groups at text[at]: space, '-', '.', no-break spaces; 0 when there is none.
std::size_t separator_length(std::string_view text, std::size_t at);
// What begins with the digit, '+' or '(' at text[at]; nothing in the middle of a longer number or word.
std::optional<PersonalMatch> number_at(std::string_view text, std::size_t at);

std::string cat_parts(std::string_view a, std::string_view b, std::string_view c);

}  // namespace lathe
