#include "data/templates/value.h"

#include <algorithm>

#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr int kMaxNesting = 200;

void check_nesting(int depth) { require(depth < kMaxNesting, "values nested deeper than ", kMaxNesting); }

bool equal_lists(const ListValue& a, const ListValue& b, int depth) {
  if (a.kind != b.kind || a.items.size() != b.items.size()) return false;
  for (std::size_t i = 0; i < a.items.size(); ++i) {
    if (!equal_values(a.items[i], b.items[i], depth + 1)) return false;
  }
  return true;
}

bool equal_dicts(const DictValue& a, const DictValue& b, int depth) {
  if (a.items.size() != b.items.size()) return false;
  for (const auto& [key, value] : a.items) {
    const TemplateValue* other = b.find(key);
    if (!other || !equal_values(value, *other, depth + 1)) return false;
  }
  return true;
}

std::size_t add_weight(std::size_t sum, const TemplateValue& value) {
  sum += weight_of(value);
  require(sum <= kMaxWeight, "a value of more than ", kMaxWeight, " parts");
  return sum;
}

int sign_of(double a, double b) { return a < b ? -1 : a > b ? 1 : 0; }

}  // namespace

const TemplateValue* DictValue::find(const std::string& key) const {
  for (const auto& [name, value] : items) {
    if (name.as_text() && name.as_text()->bytes() == key) return &value;
  }
  return nullptr;
}

const TemplateValue* DictValue::find(const TemplateValue& key) const {
  if (key.as_text()) return find(key.as_text()->bytes());
  for (const auto& [name, value] : items) {
    if (equal_values(name, key)) return &value;
  }
  return nullptr;
}

void DictValue::set(TemplateValue key, TemplateValue value) {
  if (const TemplateValue* there = find(key)) {
    const_cast<TemplateValue&>(*there) = std::move(value);  // ours: *this is not const
  } else {
    items.emplace_back(std::move(key), std::move(value));
  }
}

TemplateValue TemplateValue::undefined(std::string why) {
  return Data(UndefinedValue{std::make_shared<const std::string>(std::move(why))});
}
TemplateValue TemplateValue::text(MarkedText value, SourceId from) {
  return {std::make_shared<const MarkedText>(std::move(value)), from};
}
TemplateValue TemplateValue::list(ValueList items, Sequence kind, std::string name) {
  std::size_t weight = 1;
  for (const TemplateValue& item : items) weight = add_weight(weight, item);
  return Data(std::make_shared<const ListValue>(ListValue{std::move(items), kind, std::move(name), weight}));
}
TemplateValue TemplateValue::dict(DictValue value, SourceId from) {
  value.weight = 1;
  for (const auto& [key, item] : value.items) value.weight = add_weight(add_weight(value.weight, key), item);
  return {std::make_shared<const DictValue>(std::move(value)), from};
}
TemplateValue TemplateValue::function(CallableValue value) {
  return Data(std::make_shared<const CallableValue>(std::move(value)));
}

const std::int64_t* integer_of(const TemplateValue& value, std::int64_t& storage) {
  if (const bool* b = value.get_if<bool>())
    storage = *b;
  else if (const auto* i = value.get_if<std::int64_t>())
    storage = *i;
  else
    return nullptr;
  return &storage;
}

double number_of(const TemplateValue& value) {
  std::int64_t storage = 0;
  if (integer_of(value, storage)) return static_cast<double>(storage);
  return *value.get_if<double>();
}

std::size_t weight_of(const TemplateValue& value) {
  if (const MarkedText* text = value.as_text()) return 1 + text->size() / 64;
  if (const ListValue* list = value.as_list()) return list->weight;
  if (const DictValue* dict = value.as_dict()) return dict->weight;
  return 1;
}

bool truth(const TemplateValue& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (value.is_number()) return number_of(value) != 0;
  if (const MarkedText* text = value.as_text()) return !text->empty();
  if (const ListValue* list = value.as_list())
    return list->kind == Sequence::Iterator || !list->items.empty();
  if (const DictValue* dict = value.as_dict()) return !dict->items.empty();
  return true;
}

bool equal_values(const TemplateValue& a, const TemplateValue& b, int depth) {
  check_nesting(depth);
  if (a.is_number() && b.is_number()) {
    std::int64_t x = 0, y = 0;
    if (integer_of(a, x) && integer_of(b, y)) return x == y;
    return number_of(a) == number_of(b);
  }
  if (a.data.index() != b.data.index()) return false;
  if (a.as_text()) return a.as_text()->bytes() == b.as_text()->bytes();
  if (a.as_list()) return a.as_list() == b.as_list() || equal_lists(*a.as_list(), *b.as_list(), depth);
  if (a.as_dict()) return a.as_dict() == b.as_dict() || equal_dicts(*a.as_dict(), *b.as_dict(), depth);
  if (const auto* name = a.get_if<TemplateValue::Namespace>()) {
    return *name == *b.get_if<TemplateValue::Namespace>();
  }
  if (const auto* call = a.get_if<TemplateValue::Callable>())
    return *call == *b.get_if<TemplateValue::Callable>();
  return true;  // undefined, none
}

int compare_values(const TemplateValue& a, const TemplateValue& b, int depth) {
  check_nesting(depth);
  if (a.is_number() && b.is_number()) {
    std::int64_t x = 0, y = 0;
    if (integer_of(a, x) && integer_of(b, y)) return x < y ? -1 : x > y ? 1 : 0;
    return sign_of(number_of(a), number_of(b));
  }
  if (a.as_text() && b.as_text()) {  // byte order of UTF-8 is code point order
    const int order = a.as_text()->bytes().compare(b.as_text()->bytes());
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  const ListValue *x = a.as_list(), *y = b.as_list();
  if (x && y && x->kind == y->kind && (x->kind == Sequence::List || x->kind == Sequence::Tuple)) {
    for (std::size_t i = 0; i < std::min(x->items.size(), y->items.size()); ++i) {
      if (!equal_values(x->items[i], y->items[i], depth + 1)) {
        return compare_values(x->items[i], y->items[i], depth + 1);
      }
    }
    return sign_of(static_cast<double>(x->items.size()), static_cast<double>(y->items.size()));
  }
  for (const TemplateValue* value : {&a, &b}) {
    if (const auto* undefined = value->get_if<UndefinedValue>(); undefined && undefined->why)
      fail(*undefined->why);
  }
  fail("'", type_name(a), "' and '", type_name(b), "' cannot be ordered");
}

std::string type_name(const TemplateValue& value) {
  if (value.is_undefined()) return "Undefined";
  if (value.is_none()) return "NoneType";
  if (value.get_if<bool>()) return "bool";
  if (value.get_if<std::int64_t>()) return "int";
  if (value.get_if<double>()) return "float";
  if (value.as_text()) return "str";
  if (value.as_dict()) return "dict";
  if (value.get_if<TemplateValue::Namespace>()) return "namespace";
  const ListValue* list = value.as_list();
  if (!list) return "function";
  switch (list->kind) {
    case Sequence::Tuple:
      return "tuple";
    case Sequence::Range:
      return "range";
    case Sequence::View:
      return list->name;
    case Sequence::Iterator:
      return "generator";
    default:
      return "list";
  }
}

bool can_iterate(const TemplateValue& value) {
  return value.is_undefined() || value.as_text() || value.as_list() || value.as_dict();
}

ValueList iterate(const TemplateValue& value) {
  if (value.is_undefined()) return {};
  ValueList out;
  if (const MarkedText* text = value.as_text()) {
    const std::vector<std::size_t> at = character_offsets(text->bytes());
    for (std::size_t i = 0; i + 1 < at.size(); ++i) {
      out.push_back(TemplateValue::text(text->slice(at[i], at[i + 1]), value.source));
    }
    return out;
  }
  if (const DictValue* dict = value.as_dict()) {
    for (const auto& item : dict->items) out.push_back(item.first);
    return out;
  }
  const ListValue* list = value.as_list();
  require(list != nullptr, "'", type_name(value), "' object is not iterable");
  if (list->kind != Sequence::Iterator) return list->items;
  out.assign(list->items.begin() + static_cast<std::ptrdiff_t>(list->used), list->items.end());
  list->used = list->items.size();
  return out;
}

}  // namespace lathe
