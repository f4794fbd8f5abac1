// The levels of precedence of ExpressionParser, the weakest first.
#include <algorithm>
#include <utility>

#include "data/templates/parser.h"

namespace lathe {
namespace {

constexpr int kMaxDepth = 200;   // of the parser
constexpr int kMaxHeight = 200;  // of the tree: `a + b + c ...` parses without depth

}  // namespace

ExpressionPtr ExpressionParser::make(ExpressionKind kind, std::string name) const {
  auto made = std::make_unique<Expression>();
  made->kind = kind;
  made->line = in_.line();
  made->name = std::move(name);
  return made;
}

void ExpressionParser::adopt(Expression& parent, ExpressionPtr child) const {
  if (child) parent.height = std::max(parent.height, child->height + 1);
  if (parent.height > kMaxHeight) in_.error("an expression of more than ", kMaxHeight, " levels");
  parent.operands.push_back(std::move(child));
}

ExpressionPtr ExpressionParser::binary(std::string op, ExpressionPtr left, ExpressionPtr right) const {
  ExpressionPtr made = make(ExpressionKind::Binary, std::move(op));
  made->line = left->line;
  adopt(*made, std::move(left));
  adopt(*made, std::move(right));
  return made;
}

ExpressionPtr ExpressionParser::expression() {
  if (++depth_ > kMaxDepth) in_.error("expressions nested deeper than ", kMaxDepth);
  ExpressionPtr made = condition();
  --depth_;
  return made;
}

ExpressionPtr ExpressionParser::condition() {
  ExpressionPtr value = disjunction();
  while (in_.skip_name("if")) {
    ExpressionPtr made = make(ExpressionKind::Condition);
    adopt(*made, std::move(value));
    adopt(*made, disjunction());
    adopt(*made, in_.skip_name("else") ? expression() : nullptr);
    value = std::move(made);
  }
  return value;
}

ExpressionPtr ExpressionParser::disjunction() {
  ExpressionPtr left = conjunction();
  while (in_.skip_name("or")) left = binary("or", std::move(left), conjunction());
  return left;
}

ExpressionPtr ExpressionParser::conjunction() {
  ExpressionPtr left = negation();
  while (in_.skip_name("and")) left = binary("and", std::move(left), negation());
  return left;
}

ExpressionPtr ExpressionParser::negation() {
  if (!in_.is_name("not")) return comparison();
  if (++depth_ > kMaxDepth) in_.error("expressions nested deeper than ", kMaxDepth);
  ExpressionPtr made = make(ExpressionKind::Unary, "not");
  in_.take();
  adopt(*made, negation());
  --depth_;
  return made;
}

ExpressionPtr ExpressionParser::comparison() {
  ExpressionPtr first = sum();
  ExpressionPtr made;
  while (true) {
    std::string op;
    for (const char* symbol : {"==", "!=", "<", "<=", ">", ">="}) {
      if (in_.skip_operator(symbol)) op = symbol;
    }
    if (op.empty() && in_.skip_name("in")) op = "in";
    if (op.empty() && in_.is_name("not") && in_.ahead().kind == LexKind::Name && in_.ahead().text == "in") {
      in_.take();
      in_.take();
      op = "not in";
    }
    if (op.empty()) return made ? std::move(made) : std::move(first);
    if (!made) {
      made = make(ExpressionKind::Compare);
      adopt(*made, std::move(first));
    }
    made->names.push_back(std::move(op));
    adopt(*made, sum());
  }
}

ExpressionPtr ExpressionParser::sum() {
  ExpressionPtr left = concatenation();
  while (in_.is_operator("+") || in_.is_operator("-")) {
    const std::string op = in_.take().text;
    left = binary(op, std::move(left), concatenation());
  }
  return left;
}

ExpressionPtr ExpressionParser::concatenation() {
  ExpressionPtr left = product();
  while (in_.skip_operator("~")) left = binary("~", std::move(left), product());
  return left;
}

ExpressionPtr ExpressionParser::product() {
  ExpressionPtr left = power();
  while (in_.is_operator("*") || in_.is_operator("/") || in_.is_operator("//") || in_.is_operator("%")) {
    const std::string op = in_.take().text;
    left = binary(op, std::move(left), power());
  }
  return left;
}

ExpressionPtr ExpressionParser::power() {
  ExpressionPtr left = unary();
  while (in_.skip_operator("**")) left = binary("**", std::move(left), unary());
  return left;
}

ExpressionPtr ExpressionParser::unary(bool with_filter) {
  if (++depth_ > kMaxDepth) in_.error("expressions nested deeper than ", kMaxDepth);
  ExpressionPtr made;
  if (in_.is_operator("-") || in_.is_operator("+")) {
    made = make(ExpressionKind::Unary, in_.take().text);
    adopt(*made, unary(false));
  } else {
    made = primary();
  }
  made = postfix(std::move(made));
  if (with_filter) made = filter_and_test(std::move(made));
  --depth_;
  return made;
}

}  // namespace lathe
