#pragma once
// Secrets that only their name or place tells: api_key = ..., mot de passe : ...,
// scheme://user:password@host.
#include <cstddef>
#include <optional>
#include <string_view>

#include "data/checks/personal.h"

namespace lathe {

// What the ':' or '=' at text[at] gives a value. Kinds: password, api_key. A value that no one would choose
// as a secret (a word, a placeholder) is none.
std::optional<PersonalMatch> named_secret_at(std::string_view text, std::size_t at);

}  // namespace lathe
