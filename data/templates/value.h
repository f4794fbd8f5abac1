#pragma once
// The values a chat template computes with: Python's, as far as text can tell them apart. Containers are
// immutable and shared; only a namespace changes. Every value that came from a message, tool or document
// carries its origin, so that numbers and braces written by tojson have one too.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "data/templates/marked_text.h"

namespace lathe {

class Interpreter;
class TemplateValue;
using ValueList = std::vector<TemplateValue>;
using NamedValues = std::vector<std::pair<std::string, TemplateValue>>;

struct CallArguments {
  ValueList positional;
  NamedValues named;
};

struct UndefinedValue {
  std::shared_ptr<const std::string> why;  // "'x' is undefined": what an operation on it reports
};
struct NoneValue {};

enum class Sequence { List, Tuple, Range, View, Iterator };  // a View is dict.items() and its kin
struct ListValue {
  ValueList items;
  Sequence kind = Sequence::List;
  std::string name = {};         // Range: its repr; View: dict_items ...
  std::size_t weight = 1;        // values in it, counted as a tree
  mutable std::size_t used = 0;  // Iterator: what has been taken from it
};
struct DictValue {
  std::vector<std::pair<TemplateValue, TemplateValue>> items;
  std::size_t weight = 1;
  const TemplateValue* find(const std::string& key) const;
  const TemplateValue* find(const TemplateValue& key) const;
  void set(TemplateValue key, TemplateValue value);  // while it is being built
};
struct NamespaceValue {
  DictValue fields;
};
struct CallableValue {  // a macro, a global function, a method with its object
  std::string name;
  std::function<TemplateValue(Interpreter&, const CallArguments&)> call;
  std::vector<std::pair<std::string, std::function<TemplateValue()>>> attributes;  // `loop` has these
};

class TemplateValue {
 public:
  using Text = std::shared_ptr<const MarkedText>;
  using List = std::shared_ptr<const ListValue>;
  using Dict = std::shared_ptr<const DictValue>;
  using Namespace = std::shared_ptr<NamespaceValue>;
  using Callable = std::shared_ptr<const CallableValue>;
  using Data = std::variant<UndefinedValue, NoneValue, bool, std::int64_t, double, Text, List, Dict,
                            Namespace, Callable>;

  TemplateValue() = default;  // undefined
  TemplateValue(Data value, SourceId from = kTemplateSource) : data(std::move(value)), source(from) {}
  static TemplateValue undefined(std::string why);
  static TemplateValue none() { return Data(NoneValue{}); }
  static TemplateValue boolean(bool value) { return Data(value); }
  static TemplateValue integer(std::int64_t value) { return Data(value); }
  static TemplateValue real(double value) { return Data(value); }
  static TemplateValue text(MarkedText value, SourceId from = kTemplateSource);
  static TemplateValue text(std::string_view value) { return text(MarkedText(value)); }
  static TemplateValue list(ValueList items, Sequence kind = Sequence::List, std::string name = {});
  static TemplateValue dict(DictValue value, SourceId from = kTemplateSource);
  static TemplateValue function(CallableValue value);

  template <class T>
  const T* get_if() const {
    return std::get_if<T>(&data);
  }
  bool is_undefined() const { return get_if<UndefinedValue>() != nullptr; }
  bool is_none() const { return get_if<NoneValue>() != nullptr; }
  bool is_number() const { return get_if<bool>() || get_if<std::int64_t>() || get_if<double>(); }
  const MarkedText* as_text() const { return get_if<Text>() ? get_if<Text>()->get() : nullptr; }
  const ListValue* as_list() const { return get_if<List>() ? get_if<List>()->get() : nullptr; }
  const DictValue* as_dict() const { return get_if<Dict>() ? get_if<Dict>()->get() : nullptr; }

  Data data;
  SourceId source = kTemplateSource;
};

// Values in it counted as a tree: what comparing or writing it costs. Making a list or dict of more than
// kMaxWeight is an Error, so that sharing cannot hide exponential size.
constexpr std::size_t kMaxWeight = 4'000'000;
std::size_t weight_of(const TemplateValue& value);
bool truth(const TemplateValue& value);
// Python's ==: 1 == 1.0 == True, lists and tuples differ. Nesting beyond 200 is an Error.
bool equal_values(const TemplateValue& a, const TemplateValue& b, int depth = 0);
// -1, 0, 1 as Python's < and > order them; an Error naming the two types when they have no order.
int compare_values(const TemplateValue& a, const TemplateValue& b, int depth = 0);
std::string type_name(const TemplateValue& value);  // str, int, list, NoneType ...: as Python calls it
// What iter() gives: characters, items, keys. An iterator is used up. Error when it cannot be iterated.
ValueList iterate(const TemplateValue& value);
bool can_iterate(const TemplateValue& value);
// The number as int64 when it is a bool or an int.
const std::int64_t* integer_of(const TemplateValue& value, std::int64_t& storage);
double number_of(const TemplateValue& value);  // of a number

}  // namespace lathe
