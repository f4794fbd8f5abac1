// The expressions of Interpreter.
#include <utility>

#include "data/templates/builtins.h"
#include "data/templates/interpreter.h"
#include "data/templates/operators.h"
#include "data/templates/python_text.h"
#include "recipes/schema/error.h"

namespace lathe {

TemplateValue Interpreter::charged(TemplateValue value) {
  if (const MarkedText* text = value.as_text()) {
    bytes_ += text->size();
    spend(text->size() / 64);
  } else if (const ListValue* list = value.as_list()) {
    bytes_ += list->items.size() * sizeof(TemplateValue);
    spend(list->items.size());
  } else if (const DictValue* dict = value.as_dict()) {
    spend(dict->items.size());
  }
  require(bytes_ <= setting_.limits.bytes, "the template makes more than ", setting_.limits.bytes >> 20,
          " MB of text");
  return value;
}

TemplateValue Interpreter::evaluate(const Expression& expression) {
  spend(1);
  line_ = expression.line;
  require(++depth_ <= setting_.limits.depth, "macros and expressions nested too deep");  // ends the rendering
  TemplateValue value = evaluate_kind(expression);
  --depth_;
  return value;
}

TemplateValue Interpreter::evaluate_kind(const Expression& e) {
  switch (e.kind) {
    case ExpressionKind::Constant:
      return e.constant;
    case ExpressionKind::Name:
      return look_up(e.name);
    case ExpressionKind::List:
      return charged(TemplateValue::list(evaluate_all(e, 0)));
    case ExpressionKind::Tuple:
      return charged(TemplateValue::list(evaluate_all(e, 0), Sequence::Tuple));
    case ExpressionKind::Dict:
      return charged(evaluate_dict(e));
    case ExpressionKind::Attribute:
      return get_attribute(evaluate(*e.operands[0]), e.name);
    case ExpressionKind::Item: {
      const TemplateValue owner = evaluate(*e.operands[0]);
      return get_item(owner, evaluate(*e.operands[1]));
    }
    case ExpressionKind::Slice:
      return charged(evaluate_slice(e));
    case ExpressionKind::Call:
      return charged(evaluate_call(e));
    case ExpressionKind::Filter:
      return evaluate_filter(e, nullptr);
    case ExpressionKind::Test: {
      const TemplateValue value = evaluate(*e.operands[0]);
      const CallArguments arguments = evaluate_arguments(e);
      line_ = e.line;
      return TemplateValue::boolean(test(e.name, value, arguments));
    }
    case ExpressionKind::Unary:
      return unary_operation(e.name, evaluate(*e.operands[0]));
    case ExpressionKind::Binary:
      return evaluate_binary(e);
    case ExpressionKind::Compare:
      return evaluate_comparison(e);
    case ExpressionKind::Condition:
      if (truth(evaluate(*e.operands[1]))) return evaluate(*e.operands[0]);
      if (e.operands[2]) return evaluate(*e.operands[2]);
      return TemplateValue::undefined("the inline if-expression has no else");
  }
  return {};
}

TemplateValue Interpreter::look_up(const std::string& name) {
  if (const TemplateValue* found = frame_->find(name)) return *found;
  return TemplateValue::undefined("'" + name + "' is undefined");
}

ValueList Interpreter::evaluate_all(const Expression& expression, std::size_t from) {
  ValueList values;
  for (std::size_t i = from; i < expression.operands.size(); ++i)
    values.push_back(evaluate(*expression.operands[i]));
  return values;
}

CallArguments Interpreter::evaluate_arguments(const Expression& expression) {
  CallArguments arguments{evaluate_all(expression, 1), {}};
  for (const auto& [name, value] : expression.named) arguments.named.emplace_back(name, evaluate(*value));
  return arguments;
}

TemplateValue Interpreter::evaluate_dict(const Expression& expression) {
  DictValue dict;
  for (std::size_t i = 0; i < expression.operands.size(); i += 2) {
    TemplateValue key = evaluate(*expression.operands[i]);
    const ListValue* list = key.as_list();
    require(!key.as_dict() && (!list || list->kind != Sequence::List), "unhashable type: '", type_name(key),
            "'");
    dict.set(std::move(key), evaluate(*expression.operands[i + 1]));
  }
  return TemplateValue::dict(std::move(dict));
}

TemplateValue Interpreter::evaluate_slice(const Expression& expression) {
  const TemplateValue of = evaluate(*expression.operands[0]);
  SliceBounds bounds;
  std::optional<std::int64_t>* const parts[] = {&bounds.begin, &bounds.end, &bounds.step};
  for (std::size_t i = 0; i < 3; ++i) {
    if (!expression.operands[i + 1]) continue;
    const TemplateValue value = evaluate(*expression.operands[i + 1]);
    if (value.is_none()) continue;
    std::int64_t storage = 0;
    require(integer_of(value, storage), "slice indices must be integers or None, found ", type_name(value));
    *parts[i] = storage;
  }
  return slice_value(of, bounds);
}

TemplateValue Interpreter::call(const TemplateValue& function, const CallArguments& arguments) {
  const auto* callable = function.get_if<TemplateValue::Callable>();
  if (!callable) {
    fail_if_undefined(function);
    fail("'", type_name(function), "' object is not callable");
  }
  return (*callable)->call(*this, arguments);
}

TemplateValue Interpreter::evaluate_call(const Expression& expression, const NamedValues& extra) {
  const TemplateValue function = evaluate(*expression.operands[0]);
  CallArguments arguments = evaluate_arguments(expression);
  arguments.named.insert(arguments.named.end(), extra.begin(), extra.end());
  line_ = expression.line;
  return call(function, arguments);
}

TemplateValue Interpreter::evaluate_filter(const Expression& expression, const TemplateValue* input) {
  const TemplateValue value = !expression.operands[0] ? *input
                              : input && expression.operands[0]->kind == ExpressionKind::Filter
                                  ? evaluate_filter(*expression.operands[0], input)
                                  : evaluate(*expression.operands[0]);
  const CallArguments arguments = evaluate_arguments(expression);
  line_ = expression.line;
  return charged(filter(expression.name, value, arguments));
}

TemplateValue Interpreter::evaluate_binary(const Expression& expression) {
  TemplateValue left = evaluate(*expression.operands[0]);
  if (expression.name == "and") return truth(left) ? evaluate(*expression.operands[1]) : left;
  if (expression.name == "or") return truth(left) ? left : evaluate(*expression.operands[1]);
  const TemplateValue right = evaluate(*expression.operands[1]);
  line_ = expression.line;
  return charged(binary_operation(expression.name, left, right));
}

TemplateValue Interpreter::evaluate_comparison(const Expression& expression) {
  TemplateValue left = evaluate(*expression.operands[0]);
  for (std::size_t i = 0; i < expression.names.size(); ++i) {
    TemplateValue right = evaluate(*expression.operands[i + 1]);
    spend(std::min(weight_of(left), weight_of(right)));
    if (expression.names[i].ends_with("in")) spend_deep(right);
    if (!comparison_holds(expression.names[i], left, right)) return TemplateValue::boolean(false);
    left = std::move(right);
  }
  return TemplateValue::boolean(true);
}

}  // namespace lathe
