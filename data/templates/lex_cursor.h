#pragma once
// A place in a template's source, and the tokens of expressions read from there.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "data/templates/lexer.h"
#include "recipes/schema/error.h"

namespace lathe {

class LexCursor {
 public:
  LexCursor(std::string text, const std::string& name) : text_(std::move(text)), name_(name) {}

  // The token at the place, which holds no white space. `brackets`: those that are open, by what closes them.
  LexToken scan_token(std::vector<char>& brackets);

 protected:
  template <class... Parts>
  [[noreturn]] void error(const Parts&... parts) const {
    fail(name_, ":", line_, ": ", parts...);
  }
  bool starts(std::string_view what) const { return text_.compare(at_, what.size(), what) == 0; }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  void advance_to(std::size_t to) {
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         text_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    at_ = to;
  }
  void skip_space();

  std::string text_;
  const std::string& name_;
  std::size_t at_ = 0;
  int line_ = 1;

 private:
  LexToken name();
  LexToken number();
  LexToken string();
  LexToken token(LexKind kind, std::string text, std::size_t end);
  void exponent(std::size_t& to, std::string& digits, bool& real) const;
  void bracket(char c, std::vector<char>& open) const;
  void escape(std::size_t& at, std::string& out) const;
  void code_point(std::size_t& at, std::size_t digits, int base, bool all, std::string& out) const;
};

}  // namespace lathe
