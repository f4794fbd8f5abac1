// The methods of dict, list and tuple that leave them as they are.
#include <algorithm>

#include "data/templates/builtins.h"
#include "data/templates/operators.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

using Call = std::function<TemplateValue(Interpreter&, const CallArguments&)>;

TemplateValue method(const std::string& name, Call call) {
  return TemplateValue::function({name, std::move(call), {}});
}

TemplateValue refuse(const std::string& type, const std::string& name) {
  return TemplateValue::undefined("'" + name + "' would change the " + type +
                                  ", which templates cannot; build a new one");
}

bool is_one_of(const std::string& name, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [&](const char* known) { return name == known; });
}

std::optional<TemplateValue> dict_method(const TemplateValue& value, const std::string& name) {
  if (is_one_of(name, {"keys", "values", "items"})) {
    return method(name, [value, name](Interpreter&, const CallArguments& arguments) {
      const ArgumentReader read("dict." + name, arguments, {});
      ValueList out;
      for (const auto& [key, item] : value.as_dict()->items) {
        out.push_back(name == "keys"     ? key
                      : name == "values" ? item
                                         : TemplateValue::list({key, item}, Sequence::Tuple));
      }
      return TemplateValue::list(std::move(out), Sequence::View, "dict_" + name);
    });
  }
  if (name == "get") {
    return method(name, [value](Interpreter&, const CallArguments& arguments) {
      const ArgumentReader read("dict.get", arguments, {"key", "default"});
      if (const TemplateValue* found = value.as_dict()->find(read.value(0))) return *found;
      return read.find(1) ? *read.find(1) : TemplateValue::none();
    });
  }
  if (name == "copy") {
    return method(name, [value](Interpreter&, const CallArguments&) { return value; });
  }
  require(name != "fromkeys", "the dict method 'fromkeys' is not supported");
  if (is_one_of(name, {"clear", "pop", "popitem", "setdefault", "update"})) return refuse("dict", name);
  return std::nullopt;
}

std::optional<TemplateValue> list_method(const TemplateValue& value, const std::string& name) {
  const bool list = value.as_list()->kind == Sequence::List;
  if (name == "index" || name == "count") {
    return method(name, [value, name](Interpreter& in, const CallArguments& arguments) {
      const ArgumentReader read("list." + name, arguments, {"value"});
      in.spend_deep(value);
      const ValueList& items = value.as_list()->items;
      const auto same = [&](const TemplateValue& item) { return equal_values(item, read.value(0)); };
      if (name == "count") return TemplateValue::integer(std::count_if(items.begin(), items.end(), same));
      const auto found = std::find_if(items.begin(), items.end(), same);
      require(found != items.end(), "the value is not in the list");
      return TemplateValue::integer(found - items.begin());
    });
  }
  if (list && name == "copy") {
    return method(name, [value](Interpreter&, const CallArguments&) { return value; });
  }
  if (list && is_one_of(name, {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"})) {
    return refuse("list", name);
  }
  return std::nullopt;
}

}  // namespace

std::optional<TemplateValue> find_method(const TemplateValue& value, const std::string& name) {
  if (value.as_text()) return find_string_method(value, name);
  if (value.as_dict()) return dict_method(value, name);
  if (const ListValue* list = value.as_list(); list && list->kind <= Sequence::Range)
    return list_method(value, name);
  return std::nullopt;
}

}  // namespace lathe
