#include "data/sources/slots.h"

#include <algorithm>

namespace lathe {

SlotText::SlotText(const std::string& text, const std::string& where) {
  std::string literal;
  bool any = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c != '{' && c != '}') {
      literal += c;
    } else if (at + 1 < text.size() && text[at + 1] == c) {
      literal += c;
      ++at;
    } else if (c == '}') {
      fail_usage(where, ": character ", at + 1, ": a '}' without its '{'; write }} for a brace");
    } else {
      const auto end = text.find('}', at);
      if (end == text.npos)
        fail_usage(where, ": character ", at + 1, ": a '{' that does not close; write {{ for a brace");
      const std::string name = text.substr(at + 1, end - at - 1);
      if (name.find_first_not_of(' ') == name.npos || name.find('{') != name.npos) {
        fail_usage(where, ": character ", at + 1, ": wanted {column}, found {", name,
                   "}; write {{ and }} for braces");
      }
      if (!literal.empty()) parts_.push_back({std::move(literal), false});
      literal.clear();
      parts_.push_back({name, true});
      any = true;
      at = end;
    }
  }
  if (!literal.empty()) parts_.push_back({std::move(literal), false});
  if (!any)
    fail_usage(where, ": wanted at least one {column}, found none: every example would be the same text");
}

std::vector<std::string> SlotText::columns() const {
  std::vector<std::string> names;
  for (const auto& part : parts_) {
    if (part.slot && std::find(names.begin(), names.end(), part.text) == names.end())
      names.push_back(part.text);
  }
  return names;
}

std::string SlotText::fill(const Json& record, const std::string& where) const {
  std::string out;
  for (const auto& part : parts_) {
    if (!part.slot) {
      out += part.text;
      continue;
    }
    const auto value = record.find(part.text);
    if (value == record.end())
      fail_usage(where, ": the template wants a field '", part.text, "', which this record lacks");
    if (value->is_string()) {
      out += value->get_ref<const std::string&>();
    } else if (value->is_number() || value->is_boolean()) {
      out += value->dump();
    } else {
      fail_usage(where, ": '", part.text, "': wanted text for the template, found ",
                 value->is_null()    ? "null"
                 : value->is_array() ? "a list"
                                     : "an object");
    }
  }
  return out;
}

}  // namespace lathe
