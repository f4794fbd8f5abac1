#include "recipes/schema/scalars.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "recipes/schema/error.h"

namespace lathe {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

// A decimal number taken apart: sign, digits before and after the point (no underscores), power of ten.
struct Decimal {
  bool negative = false, has_point = false, has_exponent = false;
  std::string whole, fraction;
  std::int64_t exponent = 0;
};

// Digits with single underscores between them; what is left of `rest` starts behind them.
std::optional<std::string> take_digits(std::string_view& rest) {
  std::string digits;
  std::size_t i = 0;
  for (; i < rest.size() && (is_digit(rest[i]) || rest[i] == '_'); ++i) {
    if (rest[i] != '_') {
      digits += rest[i];
    } else if (i == 0 || i + 1 == rest.size() || !is_digit(rest[i - 1]) || !is_digit(rest[i + 1])) {
      return std::nullopt;
    }
  }
  rest.remove_prefix(i);
  return digits;
}

std::optional<Decimal> take_apart(std::string_view text) {
  Decimal d;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    d.negative = text[0] == '-';
    text.remove_prefix(1);
  }
  auto whole = take_digits(text);
  if (!whole) return std::nullopt;
  d.whole = *whole;
  if (!text.empty() && text[0] == '.') {
    d.has_point = true;
    text.remove_prefix(1);
    auto fraction = take_digits(text);
    if (!fraction) return std::nullopt;
    d.fraction = *fraction;
  }
  if (d.whole.empty() && d.fraction.empty()) return std::nullopt;
  if (!text.empty() && (text[0] == 'e' || text[0] == 'E')) {
    d.has_exponent = true;
    text.remove_prefix(1);
    if (!text.empty() && text[0] == '+') text.remove_prefix(1);
    if (text.empty() || text.size() > 6) return std::nullopt;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), d.exponent);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  }
  if (!text.empty()) return std::nullopt;
  return d;
}

bool ambiguous_zero(const Decimal& d) { return d.whole.size() > 1 && d.whole[0] == '0'; }

std::string octal_hint(const std::string& text) {
  std::string stripped = text;
  const std::size_t sign = is_digit(text[0]) ? 0 : 1;
  while (sign + 1 < stripped.size() && stripped[sign] == '0' &&
         (is_digit(stripped[sign + 1]) || stripped[sign + 1] == '_')) {
    stripped.erase(sign, 1 + (stripped[sign + 1] == '_'));
  }
  return cat("a leading zero is ambiguous: write ", stripped);
}

std::string not_a_number_hint(const std::string& text) {
  const std::string t = lower(text);
  for (const char* word : {".inf", "+.inf", "-.inf", ".nan", "inf", "-inf", "+inf", "nan", "infinity"}) {
    if (t == word) return kOnlyFinite;
  }
  const std::string body = !t.empty() && (t[0] == '-' || t[0] == '+') ? t.substr(1) : t;
  if (body.starts_with("0x") || body.starts_with("0o") || body.starts_with("0b"))
    return "write it in decimal";
  if (body.empty() || !(is_digit(body[0]) || body[0] == '.')) return "";
  std::size_t i = 0;
  while (i < body.size() && (is_digit(body[i]) || body[i] == '.' || body[i] == '_')) ++i;
  if (i == body.size()) return "";
  if (body[i] == ',') return "the decimal mark is a point, and digits are grouped with '_'";
  return "write the number alone, without a unit";
}

}  // namespace

Scalar<std::int64_t> parse_integer(const std::string& text) {
  const auto parts = take_apart(text);
  if (!parts) return {{}, not_a_number_hint(text)};
  const Decimal& d = *parts;
  if (ambiguous_zero(d)) return {{}, octal_hint(text)};
  if (d.has_point && !d.has_exponent) return {};
  std::string digits = d.whole + d.fraction;
  std::int64_t zeros = d.exponent - static_cast<std::int64_t>(d.fraction.size());
  for (; zeros < 0 && !digits.empty() && digits.back() == '0'; ++zeros) digits.pop_back();
  if (digits.find_first_not_of('0') == std::string::npos) return {0, ""};
  if (zeros < 0) return {};
  if (zeros > 19) return {{}, "too large"};
  digits.append(static_cast<std::size_t>(zeros), '0');
  if (d.negative) digits.insert(digits.begin(), '-');
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size()) return {{}, "too large"};
  return {value, ""};
}

Scalar<double> parse_number(const std::string& text) {
  const auto parts = take_apart(text);
  if (!parts) return {{}, not_a_number_hint(text)};
  const Decimal& d = *parts;
  if (ambiguous_zero(d)) return {{}, octal_hint(text)};
  const std::string plain = cat(d.negative ? "-" : "", d.whole.empty() ? "0" : d.whole, ".",
                                d.fraction.empty() ? "0" : d.fraction, "e", d.exponent);
  double value = 0;
  const auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), value);
  if (error == std::errc::result_out_of_range) return {{}, "beyond what a double holds"};
  if (error != std::errc{} || end != plain.data() + plain.size()) return {};
  return {value, ""};
}

Scalar<bool> parse_bool(const std::string& text) {
  if (text == "true") return {true, ""};
  if (text == "false") return {false, ""};
  const std::string t = lower(text);
  for (const char* word : {"yes", "y", "on", "true", "1"}) {
    if (t == word) return {{}, "write true"};
  }
  for (const char* word : {"no", "n", "off", "false", "0"}) {
    if (t == word) return {{}, "write false"};
  }
  return {};
}

std::string number_text(double value) {
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  return error == std::errc{} ? std::string(buffer, end) : "0";
}

std::string limits_text(double min, double max) {
  const auto one = [](double value) {
    const bool whole = std::abs(value) < 1e18 && std::floor(value) == value;
    return whole ? std::to_string(static_cast<std::int64_t>(value)) : number_text(value);
  };
  return one(min) + " to " + one(max);
}

std::string printable(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    const bool c1 = byte == 0xC2 && next >= 0x80 && next <= 0x9F;  // the second set of control characters
    out += byte < 0x20 || byte == 0x7F || c1 ? '?' : text[i];
    i += c1;
  }
  return out;
}

std::string yaml_quoted(const std::string& text) {
  constexpr char hex[] = "0123456789abcdef";
  std::string out = "\"";
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += "\\x";
      out += hex[byte >> 4];
      out += hex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string yaml_scalar(const std::string& text) {
  const auto safe = [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '/' ||
           c == '.' || c == '-' || c == '+' || c == '=';
  };
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/' || c == '_';
  };
  if (text.empty() || !std::all_of(text.begin(), text.end(), safe)) return yaml_quoted(text);
  const bool size =
      is_digit(text[0]) && (text.back() == 'm' || text.back() == 'k');  // 5m, 125m: no number anywhere
  if (!letter(text[0]) && !size) return yaml_quoted(text);
  const std::string t = lower(text);
  for (const char* word : {"null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan"}) {
    if (t == word) return yaml_quoted(text);
  }
  return text;
}

namespace {

// Edits to turn a into b: insertion, deletion, substitution, swap of neighbours (optimal string alignment).
int edit_distance(const std::string& a, const std::string& b) {
  const std::size_t columns = b.size() + 1;
  std::vector<std::vector<int>> d(a.size() + 1, std::vector<int>(columns));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = static_cast<int>(i);
  for (std::size_t j = 0; j < columns; ++j) d[0][j] = static_cast<int>(j);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j < columns; ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string nearest(const std::string& word, const std::vector<std::string>& candidates) {
  if (word.size() > 64) return "";
  std::string best;
  int best_distance = std::min(static_cast<int>(word.size()) / 3, 3) + 1;
  for (const std::string& candidate : candidates) {
    if (candidate.empty()) continue;
    const int distance = edit_distance(lower(word), candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  if (!best.empty() || word.size() < 4) return best;
  for (const std::string& candidate : candidates) {
    if (candidate.starts_with(word) || (candidate.size() >= 4 && word.starts_with(candidate)))
      return candidate;
  }
  return "";
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates) {
  const std::string found = nearest(word, candidates);
  return found.empty() ? "" : cat(" (did you mean '", found, "'?)");
}

std::string one_of(const std::vector<std::string>& words) {
  std::vector<std::string> shown;
  for (const std::string& word : words) {
    if (!word.empty()) shown.push_back(word);
  }
  std::string out;
  for (std::size_t i = 0; i < shown.size(); ++i) {
    if (i > 0) out += i + 1 == shown.size() ? " or " : ", ";
    out += shown[i];
  }
  return out;
}

}  // namespace lathe
