#pragma once
// The two halves of the template parser: statements use the expression parser on one stream of tokens.
// Precedence as in Jinja: if-else, or, and, not, comparisons, + -, ~, * / // %, **, unary, filters and tests.
#include <string>
#include <vector>

#include "data/templates/lexer.h"
#include "data/templates/syntax.h"
#include "recipes/schema/error.h"

namespace lathe {

class TokenReader {
 public:
  TokenReader(std::vector<LexToken> tokens, std::string name)
      : tokens_(std::move(tokens)), name_(std::move(name)) {}

  const LexToken& current() const { return tokens_[at_]; }
  const LexToken& ahead() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  LexToken take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  int line() const { return current().line; }
  bool is(LexKind kind) const { return current().kind == kind; }
  bool is_operator(const char* op) const { return is(LexKind::Operator) && current().text == op; }
  bool is_name(const char* word) const { return is(LexKind::Name) && current().text == word; }
  bool skip_operator(const char* op) { return is_operator(op) && (take(), true); }
  bool skip_name(const char* word) { return is_name(word) && (take(), true); }
  void want_operator(const char* op);
  void want_name(const char* word);
  std::string want_identifier(const char* what);
  std::string found() const;  // the current token, for errors

  template <class... Parts>
  [[noreturn]] void error(const Parts&... parts) const {
    fail(name_, ":", line(), ": ", parts...);
  }

 private:
  std::vector<LexToken> tokens_;
  std::string name_;
  std::size_t at_ = 0;
};

struct TupleRules {
  bool condition = true;      // a bare `x if y` is allowed
  const char* end = nullptr;  // a name that ends it as well
  bool parentheses = false;   // "()" is the empty tuple
};

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenReader& tokens) : in_(tokens) {}

  ExpressionPtr expression();                         // with if-else
  ExpressionPtr tuple(const TupleRules& rules = {});  // one expression, or several with commas
  ExpressionPtr filters(ExpressionPtr of);  // name(arguments) | name ..., the first bar already read
  ExpressionPtr unary(bool with_filter = true);
  void arguments(Expression& call);  // "(" ... ")"
  // Names seen since the last reset: a macro takes varargs, kwargs, caller when it uses them.
  bool uses_varargs = false, uses_kwargs = false, uses_caller = false;

 private:
  ExpressionPtr make(ExpressionKind kind, std::string name = {}) const;
  void adopt(Expression& parent, ExpressionPtr child) const;
  ExpressionPtr binary(std::string op, ExpressionPtr left, ExpressionPtr right) const;
  ExpressionPtr condition();
  ExpressionPtr disjunction();
  ExpressionPtr conjunction();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr power();
  ExpressionPtr primary();
  ExpressionPtr name();
  ExpressionPtr dict();
  ExpressionPtr list();
  ExpressionPtr postfix(ExpressionPtr of);
  ExpressionPtr filter_and_test(ExpressionPtr of);
  ExpressionPtr subscript(ExpressionPtr of);
  ExpressionPtr test(ExpressionPtr of);
  bool at_tuple_end(const TupleRules& rules) const;

  TokenReader& in_;
  int depth_ = 0;
};

}  // namespace lathe
