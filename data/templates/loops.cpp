// The loops of Interpreter, and `loop`.
#include <memory>

#include "data/templates/operators.h"
#include "data/templates/scope.h"

namespace lathe {
namespace {

struct LoopState {
  ValueList items;
  std::size_t at = 0;
  TemplateValue changed;
  bool seen_change = false;
};
using LoopPtr = std::shared_ptr<LoopState>;

TemplateValue neighbour(const LoopState& state, std::size_t at, const char* which) {
  if (at < state.items.size()) return state.items[at];
  return TemplateValue::undefined(std::string("there is no ") + which + " item");
}

TemplateValue cycle_of(const LoopPtr& state) {
  return TemplateValue::function({"cycle",
                                  [state](Interpreter&, const CallArguments& arguments) {
                                    require(!arguments.positional.empty(), "loop.cycle wants values");
                                    return arguments.positional[state->at % arguments.positional.size()];
                                  },
                                  {}});
}

TemplateValue changed_of(const LoopPtr& state) {
  return TemplateValue::function({"changed",
                                  [state](Interpreter&, const CallArguments& arguments) {
                                    TemplateValue now = TemplateValue::list(arguments.positional);
                                    const bool same = state->seen_change && equal_values(now, state->changed);
                                    state->changed = std::move(now);
                                    state->seen_change = true;
                                    return TemplateValue::boolean(!same);
                                  },
                                  {}});
}

// `loop`: its attributes are computed when they are asked for.
TemplateValue loop_object(const LoopPtr& state) {
  const auto number = [state](auto&& of) {
    return [state, of] { return TemplateValue::integer(static_cast<std::int64_t>(of(*state))); };
  };
  CallableValue loop{
      "loop",
      [](Interpreter&, const CallArguments&) -> TemplateValue { fail("recursive loops are not supported"); },
      {}};
  auto& out = loop.attributes;
  out.emplace_back("index", number([](const LoopState& s) { return s.at + 1; }));
  out.emplace_back("index0", number([](const LoopState& s) { return s.at; }));
  out.emplace_back("revindex", number([](const LoopState& s) { return s.items.size() - s.at; }));
  out.emplace_back("revindex0", number([](const LoopState& s) { return s.items.size() - s.at - 1; }));
  out.emplace_back("length", number([](const LoopState& s) { return s.items.size(); }));
  out.emplace_back("depth", number([](const LoopState&) { return 1; }));
  out.emplace_back("depth0", number([](const LoopState&) { return 0; }));
  out.emplace_back("first", [state] { return TemplateValue::boolean(state->at == 0); });
  out.emplace_back("last", [state] { return TemplateValue::boolean(state->at + 1 == state->items.size()); });
  out.emplace_back("previtem", [state] { return neighbour(*state, state->at - 1, "previous"); });
  out.emplace_back("nextitem", [state] { return neighbour(*state, state->at + 1, "next"); });
  out.emplace_back("cycle", [state] { return cycle_of(state); });
  out.emplace_back("changed", [state] { return changed_of(state); });
  return TemplateValue::function(std::move(loop));
}

}  // namespace

bool Interpreter::passes(const Statement& statement, const TemplateValue& item) {
  if (!statement.condition) return true;
  const Scope scope(*this);
  assign(statement.target, item);
  return truth(evaluate(*statement.condition));
}

Interpreter::Flow Interpreter::loop(const Statement& statement) {
  const auto state = std::make_shared<LoopState>();
  ValueList all = iterate(evaluate(*statement.expression));
  spend(all.size());
  for (TemplateValue& item : all) {
    if (passes(statement, item)) state->items.push_back(std::move(item));
  }
  if (state->items.empty()) {
    const Scope scope(*this);
    return execute(statement.otherwise);
  }
  const TemplateValue object = loop_object(state);
  const int outer = message_;
  Flow flow = Flow::Normal;
  for (; state->at < state->items.size() && flow != Flow::Break; ++state->at) {
    const TemplateValue& item = state->items[state->at];
    const int message = item.as_dict() ? setting_.message_of(item.source) : -1;
    message_ = message >= 0 ? message : outer;
    const Scope scope(*this);
    assign(statement.target, item);
    frame_->set("loop", object);
    flow = execute(statement.body);
  }
  message_ = outer;
  return Flow::Normal;
}

}  // namespace lathe
