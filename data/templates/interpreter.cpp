#include "data/templates/interpreter.h"

#include <utility>

#include "data/templates/builtins.h"
#include "data/templates/operators.h"
#include "data/templates/python_text.h"
#include "data/templates/scope.h"
#include "recipes/schema/error.h"

namespace lathe {

const TemplateValue* Interpreter::Frame::find(const std::string& name) const {
  for (const Frame* frame = this; frame; frame = frame->parent.get()) {
    for (const auto& [key, value] : frame->names) {
      if (key == name) return &value;
    }
  }
  return nullptr;
}

void Interpreter::Frame::set(const std::string& name, TemplateValue value) {
  for (auto& [key, there] : names) {
    if (key != name) continue;
    there = std::move(value);
    return;
  }
  names.emplace_back(name, std::move(value));
}

Interpreter::Interpreter(Setting setting) : setting_(std::move(setting)), frame_(std::make_shared<Frame>()) {
  for (auto& [name, value] : template_globals()) frame_->set(name, value);
}

Interpreter::~Interpreter() {
  for (const TemplateValue::Namespace& space : namespaces_) space->fields.items.clear();
}

void Interpreter::define(const std::string& name, TemplateValue value) {
  frame_->set(name, std::move(value));
}

MarkedText Interpreter::run(const Body& body) {
  const Scope scope(*this);
  try {
    execute(body);
  } catch (const Error& error) {  // what went wrong knows no place; the line is the last one evaluated
    fail(setting_.name, ":", line_, ": ", error.what());
  }
  return std::move(root_);
}

void Interpreter::spend(std::uint64_t steps) {
  steps_ += steps;
  require(steps_ <= setting_.limits.steps, "the template does more than ", setting_.limits.steps,
          " steps; it is too costly or does not end");
}

TemplateValue Interpreter::make_namespace(DictValue fields) {
  namespaces_.push_back(std::make_shared<NamespaceValue>(NamespaceValue{std::move(fields)}));
  return TemplateValue::Data(namespaces_.back());
}

Interpreter::Flow Interpreter::execute(const Body& body) {
  for (const Statement& statement : body) {
    const Flow flow = execute(statement);
    if (flow != Flow::Normal) return flow;
  }
  return Flow::Normal;
}

void Interpreter::write(const MarkedText& text, const Statement& by) {
  if (out_ == &root_ && !text.empty()) pieces_.push_back({root_.size(), &by, message_});
  bytes_ += text.size();
  out_->append(text);
}

MarkedText Interpreter::capture(const Body& body) {
  MarkedText text;
  MarkedText* const before = std::exchange(out_, &text);
  try {
    execute(body);
  } catch (...) {
    out_ = before;
    throw;
  }
  out_ = before;
  return text;
}

Interpreter::Flow Interpreter::execute(const Statement& statement) {
  line_ = statement.line;
  spend(1);
  const Depth depth(*this);
  switch (statement.kind) {
    case StatementKind::Data:
      write(MarkedText(statement.text), statement);
      break;
    case StatementKind::Output:
      write(to_text(evaluate(*statement.expression)), statement);
      break;
    case StatementKind::If:
      return execute(truth(evaluate(*statement.expression)) ? statement.body : statement.otherwise);
    case StatementKind::For:
      return loop(statement);
    case StatementKind::Set:
      assign(statement.target, evaluate(*statement.expression));
      break;
    case StatementKind::SetBlock: {
      MarkedText text = [&] {
        const Scope scope(*this);
        return capture(statement.body);
      }();
      TemplateValue value = TemplateValue::text(std::move(text));
      if (statement.expression) value = evaluate_filter(*statement.expression, &value);
      assign(statement.target, value);
      break;
    }
    case StatementKind::Macro:
      frame_->set(statement.text, make_macro(statement));
      break;
    case StatementKind::CallBlock:
      call_block(statement);
      break;
    case StatementKind::FilterBlock: {
      const Scope scope(*this);
      const TemplateValue value = TemplateValue::text(capture(statement.body));
      write(to_text(evaluate_filter(*statement.expression, &value)), statement);
      break;
    }
    case StatementKind::With: {
      ValueList values;
      for (const auto& named : statement.values) values.push_back(evaluate(*named.second));
      const Scope scope(*this);
      for (std::size_t i = 0; i < values.size(); ++i) frame_->set(statement.values[i].first, values[i]);
      return execute(statement.body);
    }
    case StatementKind::Generation: {
      const Scope scope(*this);
      MarkedText text = capture(statement.body);
      text.mark_generated();
      write(text, statement);
      break;
    }
    case StatementKind::Break:
      return Flow::Break;
    case StatementKind::Continue:
      return Flow::Continue;
  }
  return Flow::Normal;
}

void Interpreter::assign(const Target& target, const TemplateValue& value) {
  if (target.parts.empty() && target.attribute.empty()) return frame_->set(target.name, value);
  if (!target.attribute.empty()) {
    const TemplateValue owner = look_up(target.name);
    const auto* space = owner.get_if<TemplateValue::Namespace>();
    require(space != nullptr, "cannot set attribute '", target.attribute, "' of '", target.name,
            "', which is no namespace");
    require(target.attribute.front() != '_', "a namespace cannot store names that begin with '_'");
    (*space)->fields.set(TemplateValue::text(target.attribute), value);
    return;
  }
  const ValueList parts = iterate(value);
  require(parts.size() == target.parts.size(), "wanted ", target.parts.size(), " values to unpack, found ",
          parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i) assign(target.parts[i], parts[i]);
}

}  // namespace lathe
