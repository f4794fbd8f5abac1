#include "data/checks/digits.h"

#include <algorithm>
#include <initializer_list>
#include <vector>

#include "data/checks/letters.h"

namespace lathe {
namespace {

bool is_word(char c) { return is_alnum(c) || c == '_' || (c & 0x80); }

// Digits with single separators between them, as far as they go.
struct Number {
  std::string digits;
  std::vector<std::size_t> groups;  // sizes
  std::size_t end = 0;
  bool dots = false;  // some separator is a '.'
};

Number read_number(std::string_view text, std::size_t at) {
  Number number;
  number.groups.push_back(0);
  for (std::size_t i = at; i < text.size();) {
    if (is_digit(text[i])) {
      number.digits += text[i++];
      ++number.groups.back();
      number.end = i;
      continue;
    }
    const std::size_t gap = separator_length(text, i);
    if (gap == 0 || i + gap >= text.size() || !is_digit(text[i + gap])) break;
    number.dots |= text[i] == '.';
    number.groups.push_back(0);
    i += gap;
  }
  return number;
}

using Groups = std::vector<std::size_t>;
bool grouped(const Number& number, const Groups& groups) { return number.groups == groups; }
bool compact(const Number& number) { return number.groups.size() == 1; }

// Letters, digits or a decimal point around a number make it a part of something else.
bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  if (begin > 0) {
    const char before = text[begin - 1];
    const bool space = begin >= 2 && text.substr(begin - 2, 2) == "\xC2\xA0";
    if ((is_word(before) && !space) || before == '+' || before == '/' || before == '=') return false;
    const bool joined = before == '.' || before == ',' || before == '-' || before == ':';
    if (joined && begin > 1 && is_digit(text[begin - 2])) return false;
  }
  if (end >= text.size()) return true;
  const char after = text[end];
  const bool space = text.substr(end, 2) == "\xC2\xA0" || text.substr(end, 2) == "\xE2\x80";
  if ((is_word(after) && !space) || after == '@' || after == '/') return false;
  const bool joined = after == '.' || after == ',' || after == '-' || after == ':' || after == '*';
  return !(joined && end + 1 < text.size() && is_digit(text[end + 1]));
}

std::string masked_number(const std::string& digits, std::size_t front, std::size_t back) {
  return cat_parts(digits.substr(0, front), "...", digits.substr(digits.size() - back));
}

int leading(const std::string& digits, std::size_t count) { return std::stoi(digits.substr(0, count)); }

bool is_card(const Number& number) {
  const std::string& d = number.digits;
  if (d.size() < 13 || d.size() > 19) return false;
  const int two = leading(d, 2), four = leading(d, 4);
  const bool visa = d[0] == '4' && (d.size() == 13 || d.size() == 16 || d.size() == 19);
  const bool mastercard = d.size() == 16 && ((two >= 51 && two <= 55) || (four >= 2221 && four <= 2720));
  const bool amex = d.size() == 15 && (two == 34 || two == 37);
  const bool discover = d.size() == 16 && (four == 6011 || two == 65 || (four >= 6440 && four <= 6499));
  const bool jcb = d.size() == 16 && four >= 3528 && four <= 3589;
  const bool diners = d.size() == 14 && (two == 36 || two == 38 || (four >= 3000 && four <= 3059));
  if (!(visa || mastercard || amex || discover || jcb || diners)) return false;
  const bool usual = (compact(number) && !diners) || grouped(number, {4, 4, 4, 4}) ||
                     grouped(number, {4, 4, 4, 4, 3}) || grouped(number, {4, 6, 5}) ||
                     grouped(number, {4, 6, 4});
  const bool varied = d.find_first_not_of(d[d.size() - 2]) != d.npos;
  const bool decimal = number.dots && number.groups.size() < 3;  // 4111.1111111
  return usual && varied && !decimal && passes_luhn(d);
}

// Luhn, or for La Poste's establishments a sum of digits that 5 divides.
bool is_siret_number(const std::string& digits) {
  if (passes_luhn(digits)) return digits.find_first_not_of('0') != digits.npos;
  int sum = 0;
  for (const char c : digits) sum += c - '0';
  return digits.starts_with("356000000") && sum % 5 == 0;
}

bool is_named(std::string_view text, std::size_t begin, std::string_view name) {
  const std::size_t from = begin > 24 ? begin - 24 : 0;
  return in_lower(text.substr(from, begin - from)).find(name) != std::string::npos;
}

bool is_named(std::string_view text, std::size_t begin, std::initializer_list<std::string_view> names) {
  return std::any_of(names.begin(), names.end(),
                     [&](std::string_view name) { return is_named(text, begin, name); });
}

// Ten digits in one piece are as often the number of an order: those of a mobile count unless something else
// is named before them, others where a telephone is.
bool means_phone(std::string_view text, std::size_t begin, const std::string& digits) {
  if (is_named(text, begin,
               {"tel", "t\xC3\xA9l", "t\xC3\x89l", "phon", "fon", "call", "appel", "mobil", "portable", "fax",
                "joindre", "contact", "sms", "whatsapp"}))
    return true;
  const bool other = is_named(text, begin,
                              {"order",
                               "command",
                               "invoice",
                               "factur",
                               "client",
                               "customer",
                               "ref",
                               "r\xC3\xA9"
                               "f",
                               "ticket",
                               "dossier",
                               "contra",
                               "article",
                               "item",
                               "serial",
                               "isbn",
                               "account",
                               "compte",
                               "code",
                               "tracking",
                               "colis",
                               "parcel",
                               "id:"});
  return !other && (digits[1] == '6' || digits[1] == '7');
}

bool is_siret(const Number& number, std::string_view text, std::size_t at) {
  if (number.digits.size() != 14 || !is_siret_number(number.digits)) return false;
  if (grouped(number, {3, 3, 3, 5})) return true;
  if (is_named(text, at, "siret")) return true;
  return compact(number) && number.digits.substr(9, 3) == "000";  // the usual establishment number
}

bool is_french_phone(const Number& number, std::string_view text, std::size_t at) {
  const std::string& d = number.digits;
  if (d.size() == 13 && d.starts_with("0033") && d[4] != '0')  // as it is dialled from abroad
    return compact(number) || grouped(number, {4, 1, 2, 2, 2, 2}) || grouped(number, {2, 2, 1, 2, 2, 2, 2});
  return d.size() == 10 && d[0] == '0' && d[1] != '0' &&
         (compact(number) ? means_phone(text, at, d) : grouped(number, {2, 2, 2, 2, 2}));
}

bool is_american_phone(const Number& number) {
  const std::string& d = number.digits;
  return d.size() == 10 && d[0] >= '2' && d[3] >= '2' && grouped(number, {3, 3, 4});
}

// +33 6 12 34 56 78, +33 (0)6 ..., +1-212-555-0100: E.164 with separators.
std::optional<PersonalMatch> plus_phone(std::string_view text, std::size_t at) {
  if (at + 1 >= text.size() || text[at + 1] < '1' || text[at + 1] > '9') return std::nullopt;
  std::string digits;
  std::size_t end = at + 1;
  while (end < text.size()) {
    if (is_digit(text[end])) {
      digits += text[end++];
    } else if (text.substr(end).starts_with("(0)") || text.substr(end).starts_with(" (0)")) {
      end = text.find(')', end) + 1;
    } else {
      const std::size_t gap = separator_length(text, end);
      if (gap == 0 || end + gap >= text.size() || (!is_digit(text[end + gap]) && text[end + gap] != '('))
        break;
      end += gap;
    }
  }
  while (end > at && !is_digit(text[end - 1])) --end;
  if (digits.size() < 9 || digits.size() > 15 || !stands_alone(text, at, end)) return std::nullopt;
  if (digits.starts_with("33") && digits.size() != 11) return std::nullopt;
  return PersonalMatch{"phone", at, end, "+" + masked_number(digits, 2, 2)};
}

// (212) 555-0100
std::optional<PersonalMatch> bracket_phone(std::string_view text, std::size_t at) {
  if (at + 5 > text.size() || text[at + 4] != ')') return std::nullopt;
  std::size_t next = at + 5;
  if (next < text.size() && text[next] == ' ') ++next;
  const Number area = read_number(text, at + 1), rest = read_number(text, next);
  if (area.digits.size() != 3 || area.digits[0] < '2' || !grouped(rest, {3, 4}) || rest.digits[0] < '2')
    return std::nullopt;
  if (!stands_alone(text, at, rest.end)) return std::nullopt;
  return PersonalMatch{"phone", at, rest.end, masked_number(area.digits + rest.digits, 2, 2)};
}

// 13 characters and the key of 2; only the sixth may be a letter.
std::optional<PersonalMatch> nir_at(std::string_view text, std::size_t at) {
  std::string nir;
  std::size_t end = at;
  while (end < text.size() && nir.size() < 15) {
    const char c = text[end];
    if (is_digit(c) || (nir.size() == 6 && nir.back() == '2' && (c == 'A' || c == 'B'))) {
      nir += c;
      ++end;
      continue;
    }
    const std::size_t gap = nir.empty() ? 0 : separator_length(text, end);
    if (gap == 0) break;
    end += gap;
  }
  if (nir.size() != 15 || !passes_nir_key(nir) || !stands_alone(text, at, end)) return std::nullopt;
  return PersonalMatch{"nir", at, end, cat_parts(nir.substr(0, 1), "...", nir.substr(13))};
}

}  // namespace

std::string cat_parts(std::string_view a, std::string_view b, std::string_view c) {
  std::string text(a);
  return text.append(b).append(c);
}

std::size_t separator_length(std::string_view text, std::size_t at) {
  if (at >= text.size()) return 0;
  const char c = text[at];
  if (c == ' ' || c == '-' || c == '.') return 1;
  if (text.substr(at, 2) == "\xC2\xA0") return 2;
  return text.substr(at, 3) == "\xE2\x80\xAF" ? 3 : 0;
}

bool passes_nir_key(std::string_view nir) {
  if (nir.size() != 15 ||
      (nir[0] != '1' && nir[0] != '2' && nir[0] != '3' && nir[0] != '4' && nir[0] != '7' && nir[0] != '8')) {
    return false;
  }
  std::string number(nir);
  if (nir[6] == 'A' || nir[6] == 'B') {  // Corsica counts as 19 and 18
    if (nir[5] != '2') return false;
    number.replace(5, 2, nir[6] == 'A' ? "19" : "18");
  }
  if (!std::all_of(number.begin(), number.end(), is_digit)) return false;
  const int month = std::stoi(number.substr(3, 2));
  const bool known = (month >= 1 && month <= 12) || (month >= 20 && month <= 42) || month >= 50;
  const long long value = std::stoll(number.substr(0, 13));
  return known && std::stoll(number.substr(13)) == 97 - value % 97;
}

std::optional<PersonalMatch> number_at(std::string_view text, std::size_t at) {
  if (text[at] == '+') return plus_phone(text, at);
  if (text[at] == '(') return bracket_phone(text, at);
  if (at > 0 && (is_digit(text[at - 1]) || is_word(text[at - 1]))) {
    const bool space = at >= 2 && (text.substr(at - 2, 2) == "\xC2\xA0" || text[at - 1] == '\xAF');
    if (!space) return std::nullopt;
  }
  // A group in the middle of a longer number is not its beginning.
  if (at >= 2 && separator_length(text, at - 1) == 1 && is_digit(text[at - 2])) return std::nullopt;
  if (auto nir = nir_at(text, at)) return nir;
  const Number number = read_number(text, at);
  if (!stands_alone(text, at, number.end)) return std::nullopt;
  if (is_siret(number, text, at))
    return PersonalMatch{"siret", at, number.end, masked_number(number.digits, 3, 2)};
  if (is_card(number)) return PersonalMatch{"card", at, number.end, masked_number(number.digits, 0, 4)};
  if (is_french_phone(number, text, at) || is_american_phone(number)) {
    return PersonalMatch{"phone", at, number.end, masked_number(number.digits, 2, 2)};
  }
  return std::nullopt;
}

}  // namespace lathe
