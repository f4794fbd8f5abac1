// The leaves of ExpressionParser and what follows them: attributes, items, calls, filters and tests.
#include <algorithm>
#include <utility>

#include "data/templates/parser.h"

namespace lathe {

ExpressionPtr ExpressionParser::name() {
  const std::string word = in_.current().text;
  ExpressionPtr made = make(ExpressionKind::Constant);
  in_.take();
  if (word == "true" || word == "True") {
    made->constant = TemplateValue::boolean(true);
  } else if (word == "false" || word == "False") {
    made->constant = TemplateValue::boolean(false);
  } else if (word == "none" || word == "None") {
    made->constant = TemplateValue::none();
  } else {
    made->kind = ExpressionKind::Name;
    made->name = word;
    uses_varargs |= word == "varargs";
    uses_kwargs |= word == "kwargs";
    uses_caller |= word == "caller";
  }
  return made;
}

ExpressionPtr ExpressionParser::primary() {
  const LexToken& token = in_.current();
  if (token.kind == LexKind::Name) return name();
  if (token.kind == LexKind::String) {
    ExpressionPtr made = make(ExpressionKind::Constant);
    std::string text = in_.take().text;
    while (in_.is(LexKind::String)) text += in_.take().text;
    made->constant = TemplateValue::text(text);
    return made;
  }
  if (token.kind == LexKind::Integer || token.kind == LexKind::Float) {
    ExpressionPtr made = make(ExpressionKind::Constant);
    const LexToken number = in_.take();
    made->constant = number.kind == LexKind::Integer ? TemplateValue::integer(number.integer)
                                                     : TemplateValue::real(number.real);
    return made;
  }
  if (in_.skip_operator("(")) {
    ExpressionPtr made = tuple({.parentheses = true});
    in_.want_operator(")");
    return made;
  }
  if (in_.is_operator("[")) return list();
  if (in_.is_operator("{")) return dict();
  in_.error("wanted a value, found ", in_.found());
}

ExpressionPtr ExpressionParser::list() {
  ExpressionPtr made = make(ExpressionKind::List);
  in_.want_operator("[");
  while (!in_.is_operator("]")) {
    if (!made->operands.empty()) in_.want_operator(",");
    if (in_.is_operator("]")) break;
    adopt(*made, expression());
  }
  in_.want_operator("]");
  return made;
}

ExpressionPtr ExpressionParser::dict() {
  ExpressionPtr made = make(ExpressionKind::Dict);
  in_.want_operator("{");
  while (!in_.is_operator("}")) {
    if (!made->operands.empty()) in_.want_operator(",");
    if (in_.is_operator("}")) break;
    adopt(*made, expression());
    in_.want_operator(":");
    adopt(*made, expression());
  }
  in_.want_operator("}");
  return made;
}

bool ExpressionParser::at_tuple_end(const TupleRules& rules) const {
  return in_.is(LexKind::OutputEnd) || in_.is(LexKind::BlockEnd) || in_.is_operator(")") ||
         (rules.end && in_.is_name(rules.end));
}

ExpressionPtr ExpressionParser::tuple(const TupleRules& rules) {
  ExpressionPtr made = make(ExpressionKind::Tuple);
  bool comma = false;
  while (true) {
    if (!made->operands.empty()) {
      if (!in_.skip_operator(",")) break;
      comma = true;
    }
    if (at_tuple_end(rules)) break;
    adopt(*made, rules.condition ? expression() : disjunction());
  }
  if (!comma && !made->operands.empty()) return std::move(made->operands.front());
  if (made->operands.empty() && !rules.parentheses) in_.error("wanted an expression, found ", in_.found());
  return made;
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr of) {
  while (true) {
    if (in_.skip_operator(".")) {
      ExpressionPtr made = make(ExpressionKind::Attribute);
      if (in_.is(LexKind::Integer)) {
        made->kind = ExpressionKind::Item;
        adopt(*made, std::move(of));
        adopt(*made, primary());
      } else {
        made->name = in_.want_identifier("a name after '.'");
        adopt(*made, std::move(of));
      }
      of = std::move(made);
    } else if (in_.is_operator("[")) {
      of = subscript(std::move(of));
    } else if (in_.is_operator("(")) {
      ExpressionPtr made = make(ExpressionKind::Call);
      adopt(*made, std::move(of));
      arguments(*made);
      of = std::move(made);
    } else {
      return of;
    }
  }
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr of) {
  ExpressionPtr made = make(ExpressionKind::Item);
  adopt(*made, std::move(of));
  in_.want_operator("[");
  if (!in_.is_operator(":")) adopt(*made, expression());
  if (in_.is_operator(":")) {
    made->kind = ExpressionKind::Slice;
    made->operands.resize(2);
    while (in_.skip_operator(":")) {
      if (made->operands.size() == 4) in_.error("a slice has at most three parts");
      const bool absent = in_.is_operator(":") || in_.is_operator("]");
      adopt(*made, absent ? nullptr : expression());
    }
    made->operands.resize(4);
  } else if (in_.is_operator(",")) {
    in_.error("an index of several values is not supported");
  }
  in_.want_operator("]");
  return made;
}

void ExpressionParser::arguments(Expression& call) {
  in_.want_operator("(");
  for (bool first = true; !in_.is_operator(")"); first = false) {
    if (!first) in_.want_operator(",");
    if (in_.is_operator(")")) break;
    if (in_.is_operator("*") || in_.is_operator("**")) in_.error("'*' in a call is not supported");
    const bool named =
        in_.is(LexKind::Name) && in_.ahead().kind == LexKind::Operator && in_.ahead().text == "=";
    if (named) {
      std::string key = in_.take().text;
      in_.take();
      ExpressionPtr value = expression();
      call.height = std::max(call.height, value->height + 1);
      call.named.emplace_back(std::move(key), std::move(value));
    } else {
      if (!call.named.empty()) in_.error("a positional argument follows a named one");
      adopt(call, expression());
    }
  }
  in_.want_operator(")");
}

ExpressionPtr ExpressionParser::filters(ExpressionPtr of) {
  do {
    ExpressionPtr made = make(ExpressionKind::Filter);
    made->name = in_.want_identifier("the name of a filter");
    while (in_.skip_operator(".")) made->name += "." + in_.want_identifier("the name of a filter");
    adopt(*made, std::move(of));
    if (in_.is_operator("(")) arguments(*made);
    of = std::move(made);
  } while (in_.skip_operator("|"));
  return of;
}

ExpressionPtr ExpressionParser::filter_and_test(ExpressionPtr of) {
  while (true) {
    if (in_.skip_operator("|")) {
      of = filters(std::move(of));
    } else if (in_.skip_name("is")) {
      of = test(std::move(of));
    } else if (in_.is_operator("(")) {
      ExpressionPtr made = make(ExpressionKind::Call);
      adopt(*made, std::move(of));
      arguments(*made);
      of = std::move(made);
    } else {
      return of;
    }
  }
}

ExpressionPtr ExpressionParser::test(ExpressionPtr of) {
  const bool negated = in_.skip_name("not");
  ExpressionPtr made = make(ExpressionKind::Test);
  made->name = in_.want_identifier("the name of a test after 'is'");
  adopt(*made, std::move(of));
  const bool word =
      in_.is(LexKind::Name) && !in_.is_name("else") && !in_.is_name("or") && !in_.is_name("and");
  if (in_.is_operator("(")) {
    arguments(*made);
  } else if (word || in_.is(LexKind::String) || in_.is(LexKind::Integer) || in_.is(LexKind::Float) ||
             in_.is_operator("[") || in_.is_operator("{")) {
    if (in_.is_name("is")) in_.error("tests cannot be chained with 'is'; use 'and'");
    adopt(*made, postfix(primary()));
  }
  if (!negated) return made;
  ExpressionPtr inverse = make(ExpressionKind::Unary, "not");
  adopt(*inverse, std::move(made));
  return inverse;
}

}  // namespace lathe
