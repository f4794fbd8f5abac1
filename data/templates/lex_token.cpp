#include <charconv>
#include <cctype>
#include <cstring>

#include "data/io/utf8.h"
#include "data/templates/lex_cursor.h"
#include "data/templates/marked_text.h"

namespace lathe {
namespace {

bool is_name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

LexToken LexCursor::token(LexKind kind, std::string text, std::size_t end) {
  LexToken made{kind, line_, std::move(text)};
  advance_to(end);
  return made;
}

void LexCursor::skip_space() {
  std::size_t to = at_;
  while (to < text_.size()) {
    const CodePoint c = decode_utf8(text_, to);
    if (!is_python_space(c.value)) break;
    to += c.length;
  }
  advance_to(to);
}

LexToken LexCursor::scan_token(std::vector<char>& brackets) {
  const char c = peek();
  if (is_name_start(c) || static_cast<unsigned char>(c) >= 0x80) return name();
  if (is_digit(c)) return number();
  if (c == '\'' || c == '"') return string();
  static const char* const kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                           "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                           ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
  for (const char* op : kOperators) {
    if (!starts(op)) continue;
    bracket(c, brackets);
    return token(LexKind::Operator, op, at_ + std::strlen(op));
  }
  error("unexpected character '", c, "'");
}

void LexCursor::bracket(char c, std::vector<char>& open) const {
  if (c == '(' || c == '[' || c == '{') open.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
  if (c != ')' && c != ']' && c != '}') return;
  if (open.empty()) error("unexpected '", c, "'");
  if (open.back() != c) error("unexpected '", c, "', wanted '", open.back(), "'");
  open.pop_back();
}

LexToken LexCursor::name() {
  std::size_t to = at_;
  while (to < text_.size() && (is_name_start(text_[to]) || is_digit(text_[to]))) ++to;
  if (to < text_.size() && static_cast<unsigned char>(text_[to]) >= 0x80) {
    error("names with letters outside ASCII are not supported");
  }
  return token(LexKind::Name, text_.substr(at_, to - at_), to);
}

LexToken LexCursor::number() {
  std::size_t to = at_;
  std::string digits;
  const auto take = [&](auto&& allowed) {
    while (to < text_.size() && (allowed(text_[to]) || text_[to] == '_')) {
      if (text_[to] != '_') digits.push_back(text_[to]);
      ++to;
    }
  };
  take(is_digit);
  if (to < text_.size() && std::strchr("xXoObB", text_[to])) error("only decimal numbers are supported");
  bool real = false;
  if (to + 1 < text_.size() && text_[to] == '.' && is_digit(text_[to + 1])) {
    real = true;
    digits.push_back(text_[to++]);
    take(is_digit);
  }
  exponent(to, digits, real);
  LexToken made{real ? LexKind::Float : LexKind::Integer, line_, digits};
  const char* end = digits.data() + digits.size();
  const auto read = real ? std::from_chars(digits.data(), end, made.real)
                         : std::from_chars(digits.data(), end, made.integer);
  if (read.ec != std::errc() || read.ptr != end) error("the number ", digits, " is out of range");
  advance_to(to);
  return made;
}

void LexCursor::exponent(std::size_t& to, std::string& digits, bool& real) const {
  if (to >= text_.size() || (text_[to] != 'e' && text_[to] != 'E')) return;
  std::size_t from = to + 1;
  if (from < text_.size() && (text_[from] == '+' || text_[from] == '-')) ++from;
  if (from >= text_.size() || !is_digit(text_[from])) return;
  real = true;
  std::size_t end = from;
  while (end < text_.size() && is_digit(text_[end])) ++end;
  digits.append(text_, to, end - to);
  to = end;
}

LexToken LexCursor::string() {
  const char quote = peek();
  std::size_t to = at_ + 1;
  std::string out;
  while (to < text_.size() && text_[to] != quote) {
    if (text_[to] == '\\' && to + 1 < text_.size()) {
      escape(to, out);
    } else {
      out.push_back(text_[to++]);
    }
  }
  if (to >= text_.size()) error("a string is never closed; add ", quote);
  return token(LexKind::String, std::move(out), to + 1);
}

// Python's escapes; an unknown one stays as it is written.
void LexCursor::escape(std::size_t& at, std::string& out) const {
  const char c = text_[at + 1];
  at += 2;
  static const char kFrom[] = "abfnrtv\\'\"", kTo[] = "\a\b\f\n\r\t\v\\'\"";
  if (const char* found = std::strchr(kFrom, c); found && c != '\0') {
    out.push_back(kTo[found - kFrom]);
  } else if (c == '\n') {
    return;
  } else if (c >= '0' && c <= '7') {
    --at;
    code_point(at, 3, 8, false, out);
  } else if (c == 'x' || c == 'u' || c == 'U') {
    code_point(at, c == 'x' ? 2 : c == 'u' ? 4 : 8, 16, true, out);
  } else {
    out.push_back('\\');
    out.push_back(c);
  }
}

void LexCursor::code_point(std::size_t& at, std::size_t digits, int base, bool all, std::string& out) const {
  std::uint32_t value = 0;
  const std::size_t end = std::min(at + digits, text_.size());
  const auto read = std::from_chars(text_.data() + at, text_.data() + end, value, base);
  const auto used = static_cast<std::size_t>(read.ptr - (text_.data() + at));
  if (read.ec != std::errc() || (all && used != digits))
    error("a \\x or \\u escape wants ", digits, " digits");
  if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) error("an escape names no character");
  append_utf8(out, value);
  at += used;
}

}  // namespace lathe
