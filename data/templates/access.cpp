// Parts of values: items, attributes, slices, lengths.
#include <algorithm>

#include "data/templates/builtins.h"
#include "data/templates/operators.h"
#include "data/templates/python_text.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

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
