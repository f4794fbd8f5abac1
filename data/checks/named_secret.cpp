#include "data/checks/named_secret.h"

#include <algorithm>
#include <array>
#include <string>

#include "data/checks/digits.h"
#include "data/checks/letters.h"

namespace lathe {
namespace {

constexpr std::size_t kLeastKey = 16, kLeastPassword = 8, kLongestName = 32, kLongestValue = 500;

constexpr std::array<std::string_view, 12> kKeyNames = {
    "api_key",    "api-key",      "apikey",       "secret_key", "client_secret", "client-secret",
    "access_key", "access_token", "access-token", "auth_token", "accountkey",    "secret"};
constexpr std::array<std::string_view, 6> kPasswordNames = {"password", "passwd",       "passwort",
                                                            "pwd",      "mot de passe", "mdp"};

bool is_quote(char c) { return c == '"' || c == '\'' || c == '`'; }

// The words before text[at] in small letters, without the quote or the spaces that close them.
std::string name_before(std::string_view text, std::size_t at) {
  while (at > 0 && (text[at - 1] == ' ' || is_quote(text[at - 1]))) --at;
  const std::size_t from = at > kLongestName ? at - kLongestName : 0;
  return in_lower(text.substr(from, at - from));
}

template <std::size_t N>
bool ends_in_one(const std::string& name, const std::array<std::string_view, N>& known) {
  return std::ranges::any_of(known, [&](std::string_view one) {
    if (!name.ends_with(one)) return false;
    return name.size() == one.size() || !is_letter(name[name.size() - one.size() - 1]);
  });
}

struct Value {
  std::size_t begin, end;
};

Value value_after(std::string_view text, std::size_t at) {
  std::size_t begin = at + 1;
  while (begin < text.size() && (text[begin] == '=' || text[begin] == '>')) ++begin;
  while (begin < text.size() && (text[begin] == ' ' || is_quote(text[begin]))) ++begin;
  std::size_t end = begin;
  const auto closes = [](char c) {
    return is_space(c) || is_quote(c) || std::string_view(",;<>(){}[]").find(c) != std::string_view::npos;
  };
  while (end < text.size() && end - begin < kLongestValue && !closes(text[end])) ++end;
  return {begin, end};
}

struct Letters {
  bool small = false, capital = false, digit = false, sign = false;
};

Letters letters_of(std::string_view value) {
  Letters has;
  for (const char c : value) {
    if (is_digit(c))
      has.digit = true;
    else if (is_letter(c))
      (is_lower(c) ? has.small : has.capital) = true;
    else
      has.sign = true;
  }
  return has;
}

// The first letter, unless it is more than one byte.
std::string shown(std::string_view value) {
  const bool plain = static_cast<unsigned char>(value.front()) < 0x80;
  return cat_parts(value.substr(0, plain ? 1 : 0), "...", "");
}

// scheme://user:password@host
std::optional<PersonalMatch> in_address(std::string_view text, std::size_t at) {
  const std::size_t begin = at + 3;
  std::size_t end = begin, colon = 0;
  while (end < text.size() && end - begin < kLongestValue && text[end] != '@' && text[end] != '/' &&
         !is_space(text[end]) && !is_quote(text[end])) {
    if (text[end] == ':' && colon == 0) colon = end;
    ++end;
  }
  if (end >= text.size() || text[end] != '@' || colon <= begin || end - colon < 4) return std::nullopt;
  return PersonalMatch{"password", begin, end + 1, "...:...@"};
}

}  // namespace

std::optional<PersonalMatch> named_secret_at(std::string_view text, std::size_t at) {
  if (text.substr(at).starts_with("://")) return in_address(text, at);
  const std::string name = name_before(text, at);
  const bool key = ends_in_one(name, kKeyNames), password = !key && ends_in_one(name, kPasswordNames);
  if (!key && !password) return std::nullopt;
  const Value place = value_after(text, at);
  const std::string_view value = text.substr(place.begin, place.end - place.begin);
  const Letters has = letters_of(value);
  if (!has.digit || !(has.small || has.capital) || value.find("EXAMPLE") != value.npos) return std::nullopt;
  if (key && value.size() >= kLeastKey) return PersonalMatch{"api_key", place.begin, place.end, shown(value)};
  if (password && value.size() >= kLeastPassword && (has.sign || (has.small && has.capital)))
    return PersonalMatch{"password", place.begin, place.end, shown(value)};
  return std::nullopt;
}

}  // namespace lathe
