#include "data/templates/operators.h"

#include <algorithm>
#include <cmath>

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

}  // namespace lathe
