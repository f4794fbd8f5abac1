#pragma once
// What templates find without defining it: global functions, methods, filters and tests, each in a table by
// name; and the reader of their arguments.
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "data/templates/interpreter.h"

namespace lathe {

// Arguments by place or by name, as a Python function with these parameters takes them. Unknown, double and
// superfluous ones are errors that name the function.
class ArgumentReader {
 public:
  ArgumentReader(std::string function, const CallArguments& arguments,
                 std::initializer_list<const char*> names);
  const TemplateValue* find(std::size_t at) const { return values_[at]; }
  bool given(std::size_t at) const { return values_[at] && !values_[at]->is_none(); }
  const TemplateValue& value(std::size_t at) const;  // must be given
  const MarkedText& text(std::size_t at) const;
  std::int64_t integer(std::size_t at, std::int64_t otherwise) const;
  bool truth_of(std::size_t at, bool otherwise) const;
  std::string text_or(std::size_t at, std::string otherwise) const;

 private:
  std::string function_;
  std::vector<const char*> names_;
  std::vector<const TemplateValue*> values_;
};

using Filter = TemplateValue (*)(Interpreter&, const TemplateValue&, const CallArguments&);
struct NamedFilter {
  const char* name;
  Filter apply;
};
// Null when the folder has no filter of that name.
Filter find_text_filter(const std::string& name);
Filter find_list_filter(const std::string& name);

NamedValues template_globals();
// A bound method of a str, list or dict; nothing when Python has none of that name. A method that would
// change its object is undefined, as in Jinja's immutable sandbox.
std::optional<TemplateValue> find_method(const TemplateValue& value, const std::string& name);
std::optional<TemplateValue> find_string_method(const TemplateValue& value, const std::string& name);

}  // namespace lathe
