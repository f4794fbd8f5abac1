#include "data/checks/personal.h"

#include <algorithm>
#include <optional>

#include "data/checks/digits.h"
#include "data/checks/letters.h"
#include "data/checks/named_secret.h"

namespace lathe {
namespace {

bool is_key_char(char c) { return is_alnum(c) || c == '_' || c == '-'; }

std::string masked(std::string_view text, std::size_t front, std::size_t back) {
  return cat_parts(text.substr(0, front), "...", text.substr(text.size() - back));
}

// --- e-mail
// -------------------------------------------------------------------------------------------------------

bool is_reserved_domain(std::string_view domain) {
  for (const std::string_view name :
       {"example.com", "example.org", "example.net", "example.fr", "localhost"}) {
    if (domain == name || (domain.size() > name.size() && domain.ends_with(name) &&
                           domain[domain.size() - name.size() - 1] == '.'))
      return true;
  }
  return domain.ends_with(".example") || domain.ends_with(".test") || domain.ends_with(".invalid") ||
         domain.ends_with(".local");
}

// A letter with an accent, as French and its neighbours have them (U+00C0 to U+017F).
bool is_accented(std::string_view text, std::size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  return lead >= 0xC3 && lead <= 0xC5 && at + 1 < text.size() && (text[at + 1] & 0xC0) == 0x80;
}

std::optional<PersonalMatch> email_at(std::string_view text, std::size_t at_sign) {
  const auto is_local = [](char c) {
    return is_alnum(c) || c == '.' || c == '_' || c == '%' || c == '+' || c == '-';
  };
  std::size_t begin = at_sign, end = at_sign + 1;
  for (;;) {
    if (begin > 0 && is_local(text[begin - 1]))
      begin -= 1;
    else if (begin > 1 && is_accented(text, begin - 2))
      begin -= 2;
    else
      break;
  }
  while (end < text.size()) {
    if (is_alnum(text[end]) || text[end] == '.' || text[end] == '-')
      end += 1;
    else if (is_accented(text, end))
      end += 2;
    else
      break;
  }
  while (begin < at_sign && text[begin] == '.') ++begin;
  while (end > at_sign && !is_letter(text[end - 1])) --end;
  const std::string_view local = text.substr(begin, at_sign - begin);
  const std::string_view domain =
      end > at_sign ? text.substr(at_sign + 1, end - at_sign - 1) : std::string_view();
  const auto dot = domain.rfind('.');
  if (local.empty() || local == "git" || dot == domain.npos || dot == 0 || domain.size() - dot < 3)
    return std::nullopt;
  if (domain.find("..") != domain.npos || domain[0] == '-') return std::nullopt;
  if (!std::all_of(domain.begin() + static_cast<std::ptrdiff_t>(dot) + 1, domain.end(), is_letter))
    return std::nullopt;
  if (is_reserved_domain(domain)) return std::nullopt;
  return PersonalMatch{"email", begin, end, cat_parts(local.substr(0, 1), "...@...", domain.substr(dot))};
}

// --- keys
// ---------------------------------------------------------------------------------------------------------

struct KeyForm {
  std::string_view prefix;
  std::size_t least, most;  // characters behind the prefix
  bool upper_only, dashes;
};
constexpr KeyForm kKeys[] = {
    {"AKIA", 16, 16, true, false},         {"ASIA", 16, 16, true, false},
    {"sk-", 20, 250, false, true},         {"sk_live_", 20, 250, false, false},
    {"rk_live_", 20, 250, false, false},   {"ghp_", 36, 250, false, false},
    {"gho_", 36, 250, false, false},       {"ghu_", 36, 250, false, false},
    {"ghs_", 36, 250, false, false},       {"ghr_", 36, 250, false, false},
    {"github_pat_", 22, 250, false, true}, {"hf_", 30, 60, false, false},
    {"xoxb-", 20, 250, false, true},       {"xoxp-", 20, 250, false, true},
    {"xoxa-", 20, 250, false, true},       {"AIza", 35, 35, false, true},
    {"glpat-", 20, 250, false, true},      {"npm_", 36, 36, false, false},
    {"gsk_", 20, 250, false, false},       {"Bearer ", 20, 250, false, true},
    {"Basic ", 16, 250, false, false},
};

// Words with dashes are no keys: both a digit and a letter, and a run of 12 that no dash interrupts.
bool looks_random(std::string_view body) {
  std::size_t digits = 0, letters = 0, run = 0, longest = 0;
  for (const char c : body) {
    digits += is_digit(c);
    letters += is_letter(c);
    run = is_alnum(c) ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  return digits > 0 && letters > 0 && longest >= 12;
}

std::optional<PersonalMatch> key_at(std::string_view text, std::size_t at) {
  if (at > 0 && is_key_char(text[at - 1])) return std::nullopt;
  for (const auto& form : kKeys) {
    if (!text.substr(at).starts_with(form.prefix)) continue;
    std::size_t end = at + form.prefix.size();
    const std::size_t begin = end;
    const auto fits = [&](char c) {
      if (form.upper_only) return is_upper(c) || is_digit(c);
      return is_alnum(c) || (form.dashes && (c == '-' || c == '_'));
    };
    while (end < text.size() && fits(text[end])) ++end;
    const std::string_view body = text.substr(begin, end - begin);
    if (body.size() < form.least || body.size() > form.most || (end < text.size() && is_alnum(text[end])))
      continue;
    const bool letters_alone = form.prefix == "hf_";  // its tokens need no digit
    if ((!letters_alone && !looks_random(body)) || body.find("EXAMPLE") != body.npos) continue;
    return PersonalMatch{"api_key", at, end, masked(text.substr(at, end - at), form.prefix.size(), 0)};
  }
  return std::nullopt;
}

// Parts of letters that dots join: a JSON web token (RFC 7519), whose header begins {" as base64 has it, and
// SendGrid's keys.
std::optional<PersonalMatch> dotted_key_at(std::string_view text, std::size_t at) {
  if (at > 0 && (is_key_char(text[at - 1]) || text[at - 1] == '.')) return std::nullopt;
  const bool web_token = text.substr(at).starts_with("eyJ"), sendgrid = text.substr(at).starts_with("SG.");
  if (!web_token && !sendgrid) return std::nullopt;
  std::vector<std::size_t> parts = {0};
  std::size_t end = at;
  for (; end < text.size() && (is_key_char(text[end]) || (text[end] == '.' && parts.size() < 3)); ++end) {
    if (text[end] == '.')
      parts.push_back(0);
    else
      ++parts.back();
  }
  if (parts.size() != 3) return std::nullopt;
  const bool long_enough =
      web_token ? parts[0] >= 10 && parts[1] >= 10 && parts[2] >= 20 : parts[1] >= 16 && parts[2] >= 32;
  if (!long_enough) return std::nullopt;
  return PersonalMatch{"api_key", at, end, masked(text.substr(at, end - at), 3, 0)};
}

// The 40 characters of an AWS secret key have no mark of their own: their name before them tells.
std::optional<PersonalMatch> aws_secret_at(std::string_view text, std::size_t at) {
  constexpr std::size_t kLength = 40, kNear = 32;
  const auto fits = [](char c) { return is_alnum(c) || c == '/' || c == '+'; };
  if (at > 0 && fits(text[at - 1])) return std::nullopt;
  std::size_t end = at;
  bool digit = false, upper = false, lower = false;
  for (; end < text.size() && fits(text[end]); ++end) {
    digit |= is_digit(text[end]);
    upper |= is_upper(text[end]);
    lower |= is_letter(text[end]) && !is_upper(text[end]);
  }
  if (end - at != kLength || !digit || !upper || !lower) return std::nullopt;
  const std::string before = in_lower(text.substr(at > kNear ? at - kNear : 0, at > kNear ? kNear : at));
  if (before.find("secret") == before.npos || text.substr(at, kLength).find("EXAMPLE") != text.npos)
    return std::nullopt;
  return PersonalMatch{"api_key", at, end, masked(text.substr(at, end - at), 3, 0)};
}

std::optional<PersonalMatch> private_key_at(std::string_view text, std::size_t at) {
  constexpr std::string_view kBegin = "-----BEGIN ", kName = "PRIVATE KEY", kEnd = "-----";
  if (!text.substr(at).starts_with(kBegin)) return std::nullopt;
  const auto named = text.find(kName, at),
             close = text.find(kEnd, named == text.npos ? named : named + kName.size());
  if (close == text.npos || close > at + 48) return std::nullopt;
  const std::size_t end = close + kEnd.size();
  return PersonalMatch{"private_key", at, end, std::string(text.substr(at, end - at)) + "..."};
}

// --- IBAN
// ---------------------------------------------------------------------------------------------------------

struct IbanLength {
  std::string_view country;
  std::size_t length;
};
constexpr IbanLength kIbans[] = {{"AD", 24}, {"AE", 23}, {"AT", 20}, {"BE", 16}, {"BG", 22}, {"CH", 21},
                                 {"CY", 28}, {"CZ", 24}, {"DE", 22}, {"DK", 18}, {"EE", 20}, {"ES", 24},
                                 {"FI", 18}, {"FR", 27}, {"GB", 22}, {"GI", 23}, {"GR", 27}, {"HR", 21},
                                 {"HU", 28}, {"IE", 22}, {"IL", 23}, {"IS", 26}, {"IT", 27}, {"LI", 21},
                                 {"LT", 20}, {"LU", 20}, {"LV", 21}, {"MC", 27}, {"MT", 31}, {"NL", 18},
                                 {"NO", 15}, {"PL", 28}, {"PT", 25}, {"RO", 24}, {"SA", 24}, {"SE", 24},
                                 {"SI", 19}, {"SK", 24}, {"SM", 27}, {"TN", 24}, {"TR", 26}, {"UA", 29}};

char in_upper(char c) { return is_lower(c) ? static_cast<char>(c - 32) : c; }

// In capitals; in small letters too where nearly all of it is digits, as a hash's pieces seldom are.
std::optional<PersonalMatch> iban_at(std::string_view text, std::size_t at) {
  if (at + 4 > text.size() || !is_letter(text[at]) || is_upper(text[at]) != is_upper(text[at + 1]) ||
      !is_letter(text[at + 1]) || !is_digit(text[at + 2]) || !is_digit(text[at + 3]) ||
      (at > 0 && is_alnum(text[at - 1]))) {
    return std::nullopt;
  }
  const bool small = is_lower(text[at]);
  const std::string country = {in_upper(text[at]), in_upper(text[at + 1])};
  const auto* form = std::find_if(std::begin(kIbans), std::end(kIbans),
                                  [&](const IbanLength& f) { return f.country == country; });
  if (form == std::end(kIbans)) return std::nullopt;
  std::string iban;
  std::size_t end = at;
  while (end < text.size() && iban.size() < form->length) {
    const std::size_t gap = iban.empty() ? 0 : separator_length(text, end);
    if (gap && end + gap < text.size() && is_alnum(text[end + gap])) end += gap;
    if (end >= text.size() || !(is_digit(text[end]) || (small ? is_lower(text[end]) : is_upper(text[end]))))
      break;
    iban += in_upper(text[end++]);
  }
  if (iban.size() != form->length || (end < text.size() && is_alnum(text[end])) || !passes_mod97(iban))
    return std::nullopt;
  constexpr std::ptrdiff_t kBankLetters = 6;  // the country's two and a bank's four
  if (small && std::count_if(iban.begin(), iban.end(), is_letter) > kBankLetters) return std::nullopt;
  return PersonalMatch{"iban", at, end, masked(iban, 4, 2)};
}

}  // namespace

bool passes_luhn(std::string_view digits) {
  int sum = 0;
  bool twice = false;
  for (std::size_t i = digits.size(); i-- > 0; twice = !twice) {
    const int digit = digits[i] - '0';
    sum += twice ? (digit > 4 ? 2 * digit - 9 : 2 * digit) : digit;
  }
  return !digits.empty() && sum % 10 == 0;
}

bool passes_mod97(std::string_view iban) {
  if (iban.size() < 5) return false;
  const std::string turned = std::string(iban.substr(4)) + std::string(iban.substr(0, 4));
  int rest = 0;
  for (const char c : turned) {
    if (!is_digit(c) && !is_upper(c)) return false;
    rest = is_digit(c) ? (10 * rest + (c - '0')) % 97 : (100 * rest + (c - 'A' + 10)) % 97;
  }
  return rest == 1;
}

std::vector<PersonalMatch> find_personal(std::string_view text) {
  std::vector<PersonalMatch> found;
  std::size_t free = 0;  // end of the last match
  const auto keep = [&](std::optional<PersonalMatch> match) {
    if (!match || match->begin < free) return false;
    free = match->end;
    found.push_back(std::move(*match));
    return true;
  };
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (at < free) continue;
    const char c = text[at];
    if (c == '@') {
      keep(email_at(text, at));
    } else if (c == '-') {
      keep(private_key_at(text, at));
    } else if (c == ':' || c == '=') {
      keep(named_secret_at(text, at));
    } else if (is_digit(c) || c == '+' || c == '(') {
      if (!keep(number_at(text, at))) keep(aws_secret_at(text, at));
    } else if (c == '/') {
      keep(aws_secret_at(text, at));
    } else if (is_letter(c)) {
      if (!keep(key_at(text, at)) && !keep(dotted_key_at(text, at)) && !keep(iban_at(text, at)))
        keep(aws_secret_at(text, at));
    }
  }
  return found;
}

}  // namespace lathe
