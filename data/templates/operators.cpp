#include "data/templates/operators.h"

#include <algorithm>
#include <cmath>

#include "data/templates/builtins.h"
#include "data/templates/python_text.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

[[noreturn]] void mismatch(const std::string& op, const TemplateValue& a, const TemplateValue& b) {
  fail_if_undefined(a);
  fail_if_undefined(b);
  fail("unsupported operand types for ", op, ": '", type_name(a), "' and '", type_name(b), "'");
}

std::int64_t power(std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) require(!__builtin_mul_overflow(result, base, &result), "integer overflow");
    if (exponent > 1) require(!__builtin_mul_overflow(base, base, &base), "integer overflow");
  }
  return result;
}

// Python rounds towards minus infinity; the remainder has the divisor's sign.
std::int64_t floor_divide(std::int64_t a, std::int64_t b, std::int64_t& remainder) {
  require(b != 0, "division by zero");
  require(b != -1 || a != INT64_MIN, "integer overflow");
  std::int64_t quotient = a / b;
  remainder = a % b;
  if (remainder != 0 && (remainder < 0) != (b < 0)) {
    --quotient;
    remainder += b;
  }
  return quotient;
}

TemplateValue integers(const std::string& op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  bool overflow = false;
  if (op == "+")
    overflow = __builtin_add_overflow(a, b, &result);
  else if (op == "-")
    overflow = __builtin_sub_overflow(a, b, &result);
  else if (op == "*")
    overflow = __builtin_mul_overflow(a, b, &result);
  else if (op == "//" || op == "%") {
    std::int64_t remainder = 0;
    result = floor_divide(a, b, remainder);
    if (op == "%") result = remainder;
  } else if (op == "/") {
    require(b != 0, "division by zero");
    return TemplateValue::real(static_cast<double>(a) / static_cast<double>(b));
  } else if (op == "**") {
    if (b < 0) return TemplateValue::real(std::pow(static_cast<double>(a), static_cast<double>(b)));
    result = power(a, b);
  }
  require(!overflow, "integer overflow");
  return TemplateValue::integer(result);
}

TemplateValue reals(const std::string& op, double a, double b) {
  if (op == "+") return TemplateValue::real(a + b);
  if (op == "-") return TemplateValue::real(a - b);
  if (op == "*") return TemplateValue::real(a * b);
  if (op == "**") return TemplateValue::real(std::pow(a, b));
  require(b != 0, "division by zero");
  if (op == "/") return TemplateValue::real(a / b);
  double remainder = std::fmod(a, b);
  if (remainder != 0 && (remainder < 0) != (b < 0)) remainder += b;
  if (op == "%") return TemplateValue::real(remainder);
  return TemplateValue::real(std::floor((a - remainder) / b + 0.5));
}

TemplateValue repeat(const TemplateValue& value, std::int64_t times) {
  const auto count = static_cast<std::uint64_t>(std::max<std::int64_t>(times, 0));
  if (const MarkedText* text = value.as_text()) {
    require(text->empty() || count <= kMaxTextBytes / text->size(), "a text longer than ",
            kMaxTextBytes >> 20, " MB");
    MarkedText out;
    for (std::uint64_t i = 0; i < (text->empty() ? 0 : count); ++i) out.append(*text);
    return TemplateValue::text(std::move(out), value.source);
  }
  const ListValue& list = *value.as_list();
  require(list.items.empty() || count <= kMaxWeight / list.items.size(), "a list of more than ", kMaxWeight,
          " items");
  ValueList out;
  for (std::uint64_t i = 0; i < (list.items.empty() ? 0 : count); ++i) {
    out.insert(out.end(), list.items.begin(), list.items.end());
  }
  return TemplateValue::list(std::move(out), list.kind);
}

bool is_plain_list(const TemplateValue& value) {
  const ListValue* list = value.as_list();
  return list && (list->kind == Sequence::List || list->kind == Sequence::Tuple);
}

TemplateValue add(const TemplateValue& a, const TemplateValue& b) {
  if (a.as_text() && b.as_text()) {
    MarkedText out = *a.as_text();
    out.append(*b.as_text());
    return TemplateValue::text(std::move(out));
  }
  if (is_plain_list(a) && is_plain_list(b) && a.as_list()->kind == b.as_list()->kind) {
    ValueList out = a.as_list()->items;
    out.insert(out.end(), b.as_list()->items.begin(), b.as_list()->items.end());
    return TemplateValue::list(std::move(out), a.as_list()->kind);
  }
  mismatch("+", a, b);
}

bool contains(const TemplateValue& where, const TemplateValue& what) {
  fail_if_undefined(what.is_undefined() && where.as_text() ? what : TemplateValue::none());
  if (where.is_undefined()) return false;
  if (const MarkedText* text = where.as_text()) {
    require(what.as_text() != nullptr, "'in <string>' wants a string on the left, found ", type_name(what));
    return text->bytes().find(what.as_text()->bytes()) != std::string::npos;
  }
  if (const DictValue* dict = where.as_dict()) return dict->find(what) != nullptr;
  require(where.as_list() != nullptr, "argument of type '", type_name(where), "' is not iterable");
  const ValueList items = iterate(where);
  return std::any_of(items.begin(), items.end(),
                     [&](const TemplateValue& item) { return equal_values(item, what); });
}

// The index in [0, size), from the end when negative; size when there is none.
std::size_t index_in(std::int64_t at, std::size_t size) {
  const auto count = static_cast<std::int64_t>(size);
  if (at < 0) at += count;
  return at < 0 || at >= count ? size : static_cast<std::size_t>(at);
}

TemplateValue missing(const TemplateValue& value, const std::string& what) {
  const std::string type = type_name(value);
  return TemplateValue::undefined(value.is_none() ? "None has no " + what
                                                  : "'" + type + " object' has no " + what);
}

// An item of a container, or null.
std::optional<TemplateValue> item_of(const TemplateValue& value, const TemplateValue& key) {
  if (const DictValue* dict = value.as_dict()) {
    const TemplateValue* found = dict->find(key);
    return found ? std::optional(*found) : std::nullopt;
  }
  std::int64_t at = 0;
  if (!integer_of(key, at)) return std::nullopt;
  if (const MarkedText* text = value.as_text()) {
    const std::vector<std::size_t> offsets = character_offsets(text->bytes());
    const std::size_t i = index_in(at, offsets.size() - 1);
    if (i + 1 >= offsets.size()) return std::nullopt;
    return TemplateValue::text(text->slice(offsets[i], offsets[i + 1]), value.source);
  }
  const ListValue* list = value.as_list();
  if (!list || list->kind == Sequence::View || list->kind == Sequence::Iterator) return std::nullopt;
  const std::size_t i = index_in(at, list->items.size());
  return i < list->items.size() ? std::optional(list->items[i]) : std::nullopt;
}

std::optional<TemplateValue> attribute_of(const TemplateValue& value, const std::string& name) {
  if (const auto* space = value.get_if<TemplateValue::Namespace>()) {
    const TemplateValue* found = (*space)->fields.find(name);
    return found ? std::optional(*found) : std::nullopt;
  }
  if (const auto* callable = value.get_if<TemplateValue::Callable>()) {
    for (const auto& [key, attribute] : (*callable)->attributes) {
      if (key == name) return attribute();
    }
    return std::nullopt;
  }
  return find_method(value, name);
}

}  // namespace

void fail_if_undefined(const TemplateValue& value) {
  const auto* undefined = value.get_if<UndefinedValue>();
  if (undefined) fail(undefined->why ? *undefined->why : "an undefined value");
}

TemplateValue unary_operation(const std::string& op, const TemplateValue& value) {
  if (op == "not") return TemplateValue::boolean(!truth(value));
  fail_if_undefined(value);
  require(value.is_number(), "bad operand type for unary ", op, ": '", type_name(value), "'");
  std::int64_t storage = 0;
  if (const std::int64_t* i = integer_of(value, storage)) {
    return op == "-" ? integers("-", 0, *i) : TemplateValue::integer(*i);
  }
  return TemplateValue::real(op == "-" ? -number_of(value) : number_of(value));
}

TemplateValue binary_operation(const std::string& op, const TemplateValue& a, const TemplateValue& b) {
  if (op == "~") {
    MarkedText out = to_text(a);
    out.append(to_text(b));
    return TemplateValue::text(std::move(out));
  }
  std::int64_t x = 0, y = 0;
  const bool left = integer_of(a, x) != nullptr, right = integer_of(b, y) != nullptr;
  if (left && right) return integers(op, x, y);
  if (a.is_number() && b.is_number()) return reals(op, number_of(a), number_of(b));
  if (op == "+") return add(a, b);
  if (op == "*" && right && (a.as_text() || is_plain_list(a))) return repeat(a, y);
  if (op == "*" && left && (b.as_text() || is_plain_list(b))) return repeat(b, x);
  if (op == "%" && a.as_text()) return TemplateValue::text(format_percent(*a.as_text(), b));
  mismatch(op, a, b);
}

bool comparison_holds(const std::string& op, const TemplateValue& a, const TemplateValue& b) {
  if (op == "==") return equal_values(a, b);
  if (op == "!=") return !equal_values(a, b);
  if (op == "in") return contains(b, a);
  if (op == "not in") return !contains(b, a);
  const auto not_a_number = [](const TemplateValue& v) {
    return v.get_if<double>() && std::isnan(number_of(v));
  };
  const int order = compare_values(a, b);
  if (not_a_number(a) || not_a_number(b)) return false;
  if (op == "<") return order < 0;
  if (op == "<=") return order <= 0;
  return op == ">" ? order > 0 : order >= 0;
}

TemplateValue slice_value(const TemplateValue& value, const SliceBounds& bounds) {
  fail_if_undefined(value);
  const MarkedText* text = value.as_text();
  const ListValue* list = value.as_list();
  if (!text && (!list || list->kind == Sequence::View || list->kind == Sequence::Iterator)) {
    return missing(value, "slices");
  }
  const std::vector<std::size_t> offsets =
      text ? character_offsets(text->bytes()) : std::vector<std::size_t>();
  const auto size = static_cast<std::int64_t>(text ? offsets.size() - 1 : list->items.size());
  const std::int64_t step = bounds.step.value_or(1);
  require(step != 0, "slice step cannot be zero");
  const std::int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? size : size - 1;
  const auto clamp = [&](const std::optional<std::int64_t>& at, std::int64_t otherwise) {
    if (!at) return otherwise;
    return std::clamp(*at < 0 ? *at + size : *at, lowest, highest);
  };
  const std::int64_t begin = clamp(bounds.begin, step > 0 ? lowest : highest);
  const std::int64_t end = clamp(bounds.end, step > 0 ? highest : lowest);
  MarkedText characters;
  ValueList items;
  for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
    const auto at = static_cast<std::size_t>(i);
    if (text)
      characters.append(*text, offsets[at], offsets[at + 1]);
    else
      items.push_back(list->items[at]);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  if (text) return TemplateValue::text(std::move(characters), value.source);
  return TemplateValue::list(std::move(items),
                             list->kind == Sequence::Tuple ? Sequence::Tuple : Sequence::List);
}

TemplateValue get_attribute(const TemplateValue& value, const std::string& name) {
  fail_if_undefined(value);
  if (auto found = attribute_of(value, name)) return *found;
  if (auto found = item_of(value, TemplateValue::text(name))) return *found;
  return missing(value, "attribute '" + name + "'");
}

TemplateValue get_item(const TemplateValue& value, const TemplateValue& key) {
  fail_if_undefined(value);
  if (auto found = item_of(value, key)) return *found;
  if (key.as_text()) {
    if (auto found = attribute_of(value, key.as_text()->bytes())) return *found;
  }
  return missing(value, "element " + to_repr(key).bytes());
}

std::int64_t length_of(const TemplateValue& value) {
  if (value.is_undefined()) return 0;
  if (const MarkedText* text = value.as_text()) {
    return static_cast<std::int64_t>(character_offsets(text->bytes()).size() - 1);
  }
  if (const DictValue* dict = value.as_dict()) return static_cast<std::int64_t>(dict->items.size());
  const ListValue* list = value.as_list();
  require(list && list->kind != Sequence::Iterator, "object of type '", type_name(value), "' has no len()");
  return static_cast<std::int64_t>(list->items.size());
}

}  // namespace lathe
