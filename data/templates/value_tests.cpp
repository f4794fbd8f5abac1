// The tests of `value is name(arguments)`.
#include <algorithm>

#include "data/templates/builtins.h"
#include "data/templates/operators.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

using Value = const TemplateValue&;

std::int64_t whole(Value value) {
  fail_if_undefined(value);
  std::int64_t storage = 0;
  require(integer_of(value, storage) != nullptr, "wanted an integer to test, found ", type_name(value));
  return storage;
}

bool is_sequence(Value value) {  // has a length and can be indexed
  const ListValue* list = value.as_list();
  return value.is_undefined() || value.as_text() || value.as_dict() ||
         (list && list->kind != Sequence::View && list->kind != Sequence::Iterator);
}

struct PlainTest {
  const char* name;
  bool (*holds)(Value);
};
constexpr PlainTest kPlain[] = {
    {"defined", [](Value v) { return !v.is_undefined(); }},
    {"undefined", [](Value v) { return v.is_undefined(); }},
    {"none", [](Value v) { return v.is_none(); }},
    {"string", [](Value v) { return v.as_text() != nullptr; }},
    {"mapping", [](Value v) { return v.as_dict() != nullptr; }},
    {"sequence", is_sequence},
    {"iterable", can_iterate},
    {"number", [](Value v) { return v.is_number(); }},
    {"integer", [](Value v) { return v.get_if<std::int64_t>() != nullptr; }},
    {"float", [](Value v) { return v.get_if<double>() != nullptr; }},
    {"boolean", [](Value v) { return v.get_if<bool>() != nullptr; }},
    {"true", [](Value v) { return v.get_if<bool>() && *v.get_if<bool>(); }},
    {"false", [](Value v) { return v.get_if<bool>() && !*v.get_if<bool>(); }},
    {"callable", [](Value v) { return v.get_if<TemplateValue::Callable>() != nullptr || v.is_undefined(); }},
    {"odd", [](Value v) { return whole(v) % 2 != 0; }},
    {"even", [](Value v) { return whole(v) % 2 == 0; }},
};

struct ComparingTest {
  const char *name, *op;
};
constexpr ComparingTest kComparing[] = {
    {"equalto", "=="}, {"eq", "=="}, {"==", "=="}, {"ne", "!="}, {"!=", "!="}, {"lt", "<"},
    {"lessthan", "<"}, {"<", "<"},   {"le", "<="}, {"<=", "<="}, {"gt", ">"},  {"greaterthan", ">"},
    {">", ">"},        {"ge", ">="}, {">=", ">="}, {"in", "in"},
};

}  // namespace

bool Interpreter::test(const std::string& name, const TemplateValue& value, const CallArguments& arguments) {
  for (const ComparingTest& known : kComparing) {
    if (name != known.name) continue;
    const ArgumentReader read(name, arguments, {"other"});
    spend_deep(name == "in" ? read.value(0) : value);
    return comparison_holds(known.op, value, read.value(0));
  }
  if (name == "divisibleby") {
    const ArgumentReader read(name, arguments, {"num"});
    const std::int64_t by = whole(read.value(0));
    require(by != 0, "division by zero");
    return by == -1 || whole(value) % by == 0;
  }
  if (name == "sameas") {
    const ArgumentReader read(name, arguments, {"other"});
    const bool simple = value.is_none() || value.get_if<bool>() || value.is_undefined();
    require(simple || read.value(0).is_none() || read.value(0).get_if<bool>(),
            "the test 'sameas' is supported for none, true and false alone");
    return value.data.index() == read.value(0).data.index() && equal_values(value, read.value(0));
  }
  if (name == "upper" || name == "lower") {
    const std::optional<TemplateValue> method =
        value.as_text() ? find_string_method(value, name == "upper" ? "isupper" : "islower") : std::nullopt;
    return method && truth(call(*method, {}));
  }
  if (name == "filter" || name == "test") {
    fail("the test '", name, "' is not supported");
  }
  for (const PlainTest& known : kPlain) {
    if (name != known.name) continue;
    const ArgumentReader read(name, arguments, {});
    return known.holds(value);
  }
  fail("there is no test '", name, "' here");
}

}  // namespace lathe
