// Filters over lists and dicts.
#include <algorithm>

#include "data/templates/builtins.h"
#include "data/templates/operators.h"
#include "data/templates/python_text.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

using Value = const TemplateValue&;
using Arguments = const CallArguments&;

// "a.b.0": attributes and indices one after the other; `otherwise` stands in for one that is missing.
TemplateValue attribute_path(Value value, Value path, const TemplateValue* otherwise = nullptr) {
  if (!path.as_text()) return get_item(value, path);
  const std::string& text = path.as_text()->bytes();
  TemplateValue at = value;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t dot = std::min(text.find('.', begin), text.size());
    const std::string part = text.substr(begin, dot - begin);
    const bool number =
        !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == part.npos;
    at = get_item(at, number ? TemplateValue::integer(std::stol(part)) : TemplateValue::text(part));
    if (otherwise && at.is_undefined()) at = *otherwise;
    begin = dot + 1;
  }
  return at;
}

// What two values are compared by: case does not count unless asked for.
TemplateValue sort_key(Value value, bool case_sensitive) {
  if (case_sensitive || !value.as_text()) return value;
  return TemplateValue::text(change_case(*value.as_text(), TextCase::Lower));
}

TemplateValue length(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("length", arguments, {});
  return TemplateValue::integer(length_of(value));
}

TemplateValue list(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("list", arguments, {});
  return TemplateValue::list(iterate(value));
}

TemplateValue first(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("first", arguments, {});
  const ListValue* list = value.as_list();
  if (list && list->kind == Sequence::Iterator) {
    if (list->used < list->items.size()) return list->items[list->used++];
    return TemplateValue::undefined("no first item, the sequence was empty");
  }
  const ValueList items = iterate(value);
  return items.empty() ? TemplateValue::undefined("no first item, the sequence was empty") : items.front();
}

TemplateValue last(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("last", arguments, {});
  const ListValue* list = value.as_list();
  require(!list || list->kind != Sequence::Iterator,
          "'generator' object is not reversible; put `| list` before last");
  const ValueList items = iterate(value);
  return items.empty() ? TemplateValue::undefined("no last item, the sequence was empty") : items.back();
}

TemplateValue join(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("join", arguments, {"d", "attribute"});
  const MarkedText separator = read.find(0) ? to_text(*read.find(0)) : MarkedText();
  MarkedText out;
  bool at_first = true;
  for (const TemplateValue& item : iterate(value)) {
    if (!std::exchange(at_first, false)) out.append(separator);
    out.append(to_text(read.given(1) ? attribute_path(item, read.value(1)) : item));
  }
  return TemplateValue::text(std::move(out));
}

TemplateValue map(Interpreter& in, Value value, Arguments arguments) {
  const auto named = [&](const char* key) -> const TemplateValue* {
    for (const auto& [name, given] : arguments.named) {
      if (name == key) return &given;
    }
    return nullptr;
  };
  const TemplateValue* path = named("attribute");
  const TemplateValue* otherwise = named("default");
  CallArguments rest = arguments;
  if (!path) {
    require(!arguments.positional.empty() && arguments.positional[0].as_text(),
            "map wants the name of a filter");
    rest.positional.erase(rest.positional.begin());
  }
  ValueList out;
  for (const TemplateValue& item : iterate(value)) {
    in.spend(1);
    if (path) {
      out.push_back(attribute_path(item, *path, otherwise));
    } else {
      out.push_back(in.filter(arguments.positional[0].as_text()->bytes(), item, rest));
    }
  }
  return TemplateValue::list(std::move(out), Sequence::Iterator);
}

// select, reject, selectattr, rejectattr: [attribute,] [test, arguments ...]; without a test, truth.
template <bool wanted, bool by_attribute>
TemplateValue select(Interpreter& in, Value value, Arguments arguments) {
  CallArguments rest = arguments;
  TemplateValue path;
  if (by_attribute) {
    require(!rest.positional.empty(), "selectattr wants the name of an attribute");
    path = rest.positional.front();
    rest.positional.erase(rest.positional.begin());
  }
  std::string test;
  if (!rest.positional.empty()) {
    require(rest.positional.front().as_text() != nullptr, "select wants the name of a test");
    test = rest.positional.front().as_text()->bytes();
    rest.positional.erase(rest.positional.begin());
  }
  in.spend_deep(value);
  ValueList out;
  for (const TemplateValue& item : iterate(value)) {
    const TemplateValue tested = by_attribute ? attribute_path(item, path) : item;
    if ((test.empty() ? truth(tested) : in.test(test, tested, rest)) == wanted) out.push_back(item);
  }
  return TemplateValue::list(std::move(out), Sequence::Iterator);
}

TemplateValue items(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("items", arguments, {});
  if (value.is_undefined()) return TemplateValue::list({}, Sequence::Iterator);
  require(value.as_dict() != nullptr, "items wants a mapping, found ", type_name(value));
  ValueList out;
  for (const auto& [key, item] : value.as_dict()->items) {
    out.push_back(TemplateValue::list({key, item}, Sequence::Tuple));
  }
  return TemplateValue::list(std::move(out), Sequence::Iterator);
}

void sort_by(ValueList& items, const std::function<TemplateValue(Value)>& key, bool reversed) {
  std::vector<std::pair<TemplateValue, TemplateValue>> keyed;
  for (TemplateValue& item : items) {
    TemplateValue by = key(item);
    keyed.emplace_back(std::move(by), std::move(item));
  }
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reversed ? compare_values(b.first, a.first) < 0 : compare_values(a.first, b.first) < 0;
  });
  for (std::size_t i = 0; i < keyed.size(); ++i) items[i] = std::move(keyed[i].second);
}

TemplateValue dictsort(Interpreter& in, Value value, Arguments arguments) {
  const ArgumentReader read("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  fail_if_undefined(value);
  require(value.as_dict() != nullptr, "dictsort wants a mapping, found ", type_name(value));
  const std::string by = read.text_or(1, "key");
  require(by == "key" || by == "value", "dictsort: 'by' is 'key' or 'value', found '", by, "'");
  in.spend(2 * weight_of(value));
  ValueList out;
  for (const auto& [key, item] : value.as_dict()->items) {
    out.push_back(TemplateValue::list({key, item}, Sequence::Tuple));
  }
  const bool sensitive = read.truth_of(0, false);
  sort_by(
      out, [&](Value pair) { return sort_key(pair.as_list()->items[by == "key" ? 0 : 1], sensitive); },
      read.truth_of(2, false));
  return TemplateValue::list(std::move(out));
}

TemplateValue sort(Interpreter& in, Value value, Arguments arguments) {
  const ArgumentReader read("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  in.spend(2 * weight_of(value));
  ValueList out = iterate(value);
  const bool sensitive = read.truth_of(1, false);
  sort_by(
      out,
      [&](Value item) {
        return sort_key(read.given(2) ? attribute_path(item, read.value(2)) : item, sensitive);
      },
      read.truth_of(0, false));
  return TemplateValue::list(std::move(out));
}

TemplateValue unique(Interpreter& in, Value value, Arguments arguments) {
  const ArgumentReader read("unique", arguments, {"case_sensitive", "attribute"});
  ValueList out, seen;
  for (const TemplateValue& item : iterate(value)) {
    const TemplateValue key =
        sort_key(read.given(1) ? attribute_path(item, read.value(1)) : item, read.truth_of(0, false));
    in.spend(1 + seen.size() + weight_of(key));
    if (std::any_of(seen.begin(), seen.end(), [&](Value there) { return equal_values(there, key); }))
      continue;
    seen.push_back(key);
    out.push_back(item);
  }
  return TemplateValue::list(std::move(out), Sequence::Iterator);
}

TemplateValue reverse(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("reverse", arguments, {});
  ValueList out = iterate(value);
  std::reverse(out.begin(), out.end());
  if (!value.as_text()) return TemplateValue::list(std::move(out), Sequence::Iterator);
  MarkedText text;
  for (const TemplateValue& character : out) text.append(*character.as_text());
  return TemplateValue::text(std::move(text), value.source);
}

template <bool largest>
TemplateValue extreme(Interpreter& in, Value value, Arguments arguments) {
  const ArgumentReader read(largest ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  in.spend_deep(value);
  ValueList all = iterate(value);
  if (all.empty()) return TemplateValue::undefined("no aggregated item, the sequence was empty");
  const auto key = [&](Value item) {
    return sort_key(read.given(1) ? attribute_path(item, read.value(1)) : item, read.truth_of(0, false));
  };
  std::size_t best = 0;
  for (std::size_t i = 1; i < all.size(); ++i) {
    const int order = compare_values(key(all[i]), key(all[best]));
    if (largest ? order > 0 : order < 0) best = i;
  }
  return all[best];
}

TemplateValue sum(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("sum", arguments, {"attribute", "start"});
  TemplateValue total = read.find(1) ? *read.find(1) : TemplateValue::integer(0);
  for (const TemplateValue& item : iterate(value)) {
    total = binary_operation("+", total, read.given(0) ? attribute_path(item, read.value(0)) : item);
  }
  return total;
}

TemplateValue batch(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("batch", arguments, {"linecount", "fill_with"});
  const std::int64_t size = (read.value(0), read.integer(0, 1));
  require(size > 0 && size < (1 << 20), "batch wants a size of at least 1");
  ValueList out, line;
  const auto flush = [&] { out.push_back(TemplateValue::list(std::exchange(line, {}))); };
  for (const TemplateValue& item : iterate(value)) {
    if (static_cast<std::int64_t>(line.size()) == size) flush();
    line.push_back(item);
  }
  if (!line.empty() && read.given(1)) line.resize(static_cast<std::size_t>(size), read.value(1));
  if (!line.empty()) flush();
  return TemplateValue::list(std::move(out), Sequence::Iterator);
}

constexpr NamedFilter kFilters[] = {
    {"length", length},
    {"count", length},
    {"list", list},
    {"first", first},
    {"last", last},
    {"join", join},
    {"map", map},
    {"select", select<true, false>},
    {"reject", select<false, false>},
    {"selectattr", select<true, true>},
    {"rejectattr", select<false, true>},
    {"items", items},
    {"dictsort", dictsort},
    {"sort", sort},
    {"unique", unique},
    {"reverse", reverse},
    {"max", extreme<true>},
    {"min", extreme<false>},
    {"sum", sum},
    {"batch", batch},
};

}  // namespace

Filter find_list_filter(const std::string& name) {
  for (const NamedFilter& filter : kFilters) {
    if (name == filter.name) return filter.apply;
  }
  return nullptr;
}

}  // namespace lathe
