// The macros of Interpreter.
#include <algorithm>

#include "data/templates/python_text.h"
#include "data/templates/scope.h"

namespace lathe {

namespace {

// What Jinja's Macro objects tell of themselves.
std::vector<std::pair<std::string, std::function<TemplateValue()>>> macro_attributes(
    const Statement& statement) {
  return {{"name", [&statement] { return TemplateValue::text(statement.text); }},
          {"arguments",
           [&statement] {
             ValueList names;
             for (const auto& parameter : statement.parameters)
               names.push_back(TemplateValue::text(parameter.name));
             return TemplateValue::list(std::move(names), Sequence::Tuple);
           }},
          {"catch_kwargs", [&statement] { return TemplateValue::boolean(statement.takes_kwargs); }},
          {"catch_varargs", [&statement] { return TemplateValue::boolean(statement.takes_varargs); }},
          {"caller", [&statement] { return TemplateValue::boolean(statement.takes_caller); }}};
}

}  // namespace

TemplateValue Interpreter::make_macro(const Statement& statement) {
  kept_.push_back(frame_);
  // kept_ owns the frame: a macro that did would be owned by its own frame and never die.
  std::weak_ptr<Frame> frame = frame_;
  return TemplateValue::function({statement.text,
                                  [&statement, frame](Interpreter& in, const CallArguments& arguments) {
                                    return in.call_macro(statement, frame.lock(), arguments);
                                  },
                                  macro_attributes(statement)});
}

TemplateValue Interpreter::call_macro(const Statement& statement, const FramePtr& frame,
                                      const CallArguments& arguments) {
  const Depth depth(*this);
  const int line = line_;
  const Scope scope(*this, frame);
  bind_parameters(statement, arguments);
  MarkedText text = capture(statement.body);
  line_ = line;
  return TemplateValue::text(std::move(text));
}

void Interpreter::bind_parameters(const Statement& statement, const CallArguments& arguments) {
  const auto& parameters = statement.parameters;
  DictValue kwargs;
  ValueList varargs;
  for (std::size_t i = parameters.size(); i < arguments.positional.size(); ++i) {
    require(statement.takes_varargs, "macro '", statement.text, "' takes at most ", parameters.size(),
            " arguments");
    varargs.push_back(arguments.positional[i]);
  }
  std::vector<const TemplateValue*> given(parameters.size());
  for (std::size_t i = 0; i < std::min(parameters.size(), arguments.positional.size()); ++i) {
    given[i] = &arguments.positional[i];
  }
  bool caller = false;
  for (const auto& [name, value] : arguments.named) {
    std::size_t at = 0;
    while (at < parameters.size() && parameters[at].name != name) ++at;
    if (at < parameters.size()) {
      require(!given[at], "macro '", statement.text, "' is given '", name, "' twice");
      given[at] = &value;
    } else if (name == "caller" && statement.takes_caller) {
      caller = true;
      frame_->set(name, value);
    } else {
      require(statement.takes_kwargs, "macro '", statement.text, "' has no parameter '", name, "'");
      kwargs.set(TemplateValue::text(name), value);
    }
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    TemplateValue value =
        given[i] ? *given[i]
        : parameters[i].fallback
            ? evaluate(*parameters[i].fallback)
            : TemplateValue::undefined("parameter '" + parameters[i].name + "' was not provided");
    frame_->set(parameters[i].name, std::move(value));
  }
  if (statement.takes_varargs)
    frame_->set("varargs", TemplateValue::list(std::move(varargs), Sequence::Tuple));
  if (statement.takes_kwargs) frame_->set("kwargs", TemplateValue::dict(std::move(kwargs)));
  if (statement.takes_caller && !caller) frame_->set("caller", TemplateValue::undefined("no caller defined"));
}

void Interpreter::call_block(const Statement& statement) {
  write(to_text(evaluate_call(*statement.expression, {{"caller", make_macro(statement)}})), statement);
}

}  // namespace lathe
