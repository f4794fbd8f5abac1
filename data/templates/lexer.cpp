#include "data/templates/lex_cursor.h"

#include <algorithm>
#include <cctype>
#include <cstring>

#include "data/io/utf8.h"
#include "data/templates/marked_text.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

// Every line end becomes "\n"; one at the very end is dropped.
std::string normalise_lines(const std::string& source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out.push_back(source[i]);
      continue;
    }
    out.push_back('\n');
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer : private LexCursor {
 public:
  Lexer(const std::string& source, const std::string& name) : LexCursor(normalise_lines(source), name) {}

  std::vector<LexToken> run() {
    if (const auto bad = first_invalid_utf8(text_)) error("not UTF-8 at byte ", *bad);
    while (at_ < text_.size()) section();
    push(LexKind::End, "");
    return std::move(tokens_);
  }

 private:
  void push(LexKind kind, std::string text) { tokens_.push_back({kind, line_, std::move(text)}); }

  std::size_t next_opening() const {
    for (std::size_t i = text_.find('{', at_); i != std::string::npos; i = text_.find('{', i + 1)) {
      if (i + 1 < text_.size() && std::strchr("{%#", text_[i + 1])) return i;
    }
    return std::string::npos;
  }

  // The template text in front of an opening, stripped as its sign and lstrip_blocks say.
  void push_data(std::size_t end, char sign, bool output) {
    std::string data = text_.substr(at_, end - at_);
    if (sign == '-') {
      data = strip_text(MarkedText(data), nullptr, {false, true}).bytes();
    } else if (sign != '+' && !output) {
      const std::size_t newline = data.rfind('\n');
      const std::size_t begin = newline == std::string::npos ? 0 : newline + 1;
      const MarkedText last(std::string_view(data).substr(begin));
      if ((begin > 0 || line_start_) && strip_text(last, nullptr).empty()) data.resize(begin);
    }
    if (!data.empty()) push(LexKind::Data, std::move(data));
    advance_to(end);
  }

  void section() {
    const std::size_t open = next_opening();
    if (open == std::string::npos) {
      push(LexKind::Data, text_.substr(at_));
      advance_to(text_.size());
      return;
    }
    const char kind = text_[open + 1];
    char sign = open + 2 < text_.size() ? text_[open + 2] : '\0';
    if (sign != '-' && sign != '+') sign = '\0';
    push_data(open, sign, kind == '{');
    advance_to(open + (sign ? 3 : 2));
    if (kind == '#') return comment();
    if (kind == '%' && raw()) return;
    inside(kind == '{');
  }

  // After a closing: '-' strips what follows, else a block swallows one newline.
  void closed(char sign, bool block) {
    if (sign == '-') {
      skip_space();
    } else if (block && sign != '+' && peek() == '\n') {
      advance_to(at_ + 1);
    }
    line_start_ = at_ > 0 && text_[at_ - 1] == '\n';
  }

  void comment() {
    const std::size_t end = text_.find("#}", at_);
    if (end == std::string::npos) error("'{#' is never closed; add '#}'");
    const char sign = end > at_ ? text_[end - 1] : '\0';
    advance_to(end + 2);
    closed(sign == '-' || sign == '+' ? sign : '\0', true);
  }

  // Whether `word` and a closing follow from `from`; then the place behind it and its sign.
  bool block_word(std::size_t from, std::string_view word, std::size_t& end, char& sign) const {
    const auto skip = [&] {
      while (from < text_.size() && std::isspace(static_cast<unsigned char>(text_[from]))) ++from;
    };
    skip();
    if (text_.compare(from, word.size(), word) != 0) return false;
    from += word.size();
    skip();
    sign = from < text_.size() && (text_[from] == '-' || text_[from] == '+') ? text_[from++] : '\0';
    if (text_.compare(from, 2, "%}") != 0) return false;
    end = from + 2;
    return true;
  }

  bool raw() {
    std::size_t end = 0;
    char sign = '\0';
    if (!block_word(at_, "raw", end, sign)) return false;
    advance_to(end);
    if (sign == '-') skip_space();
    for (std::size_t open = text_.find("{%", at_); open != std::string::npos;
         open = text_.find("{%", open + 1)) {
      char before = open + 2 < text_.size() ? text_[open + 2] : '\0';
      if (before != '-' && before != '+') before = '\0';
      if (!block_word(open + (before ? 3 : 2), "endraw", end, sign)) continue;
      line_start_ = text_[at_ - 1] == '\n';
      push_data(open, before, false);
      advance_to(end);
      closed(sign, true);
      return true;
    }
    error("'{% raw %}' is never closed; add '{% endraw %}'");
  }

  void inside(bool output) {
    const int opened = line_;
    push(output ? LexKind::OutputBegin : LexKind::BlockBegin, "");
    std::vector<char> brackets;
    while (true) {
      skip_space();
      if (at_ >= text_.size()) {
        line_ = opened;
        error(output ? "'{{' is never closed; add '}}'" : "'{%' is never closed; add '%}'");
      }
      if (brackets.empty() && closing(output)) return;
      tokens_.push_back(scan_token(brackets));
    }
  }

  bool closing(bool output) {
    const std::string_view end = output ? "}}" : "%}";
    const char sign = peek() == '-' || (peek() == '+' && !output) ? peek() : '\0';
    if (text_.compare(at_ + (sign ? 1 : 0), 2, end) != 0) return false;
    push(output ? LexKind::OutputEnd : LexKind::BlockEnd, "");
    advance_to(at_ + (sign ? 3 : 2));
    closed(sign, !output);
    return true;
  }

  bool line_start_ = true;
  std::vector<LexToken> tokens_;
};

}  // namespace

std::vector<LexToken> lex_template(const std::string& source, const std::string& name) {
  return Lexer(source, name).run();
}

}  // namespace lathe
