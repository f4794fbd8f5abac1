#pragma once
// Python's operators on template values. What Python raises is an Error without a place; the interpreter adds
// it.
#include <cstdint>
#include <optional>
#include <string>

#include "data/templates/value.h"

namespace lathe {

struct SliceBounds {
  std::optional<std::int64_t> begin, end, step;
};

TemplateValue unary_operation(const std::string& op, const TemplateValue& value);
// + - * / // % ** ~. Integers are 64 bits; beyond is an Error.
TemplateValue binary_operation(const std::string& op, const TemplateValue& left, const TemplateValue& right);
// == != < <= > >= in, not in
bool comparison_holds(const std::string& op, const TemplateValue& left, const TemplateValue& right);
TemplateValue slice_value(const TemplateValue& value, const SliceBounds& bounds);
// value.name: a method first, then an item. value[key]: an item first. Undefined when there is neither; of an
// undefined value an Error.
TemplateValue get_attribute(const TemplateValue& value, const std::string& name);
TemplateValue get_item(const TemplateValue& value, const TemplateValue& key);
void fail_if_undefined(const TemplateValue& value);
std::int64_t length_of(const TemplateValue& value);

}  // namespace lathe
