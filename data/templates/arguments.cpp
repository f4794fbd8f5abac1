// ArgumentReader, and the dispatch to the tables of filters.
#include "data/templates/builtins.h"
#include "data/templates/operators.h"
#include "recipes/schema/error.h"

namespace lathe {

ArgumentReader::ArgumentReader(std::string function, const CallArguments& arguments,
                               std::initializer_list<const char*> names)
    : function_(std::move(function)), names_(names), values_(names.size()) {
  require(arguments.positional.size() <= names_.size(), "'", function_, "' takes at most ", names_.size(),
          " arguments, found ", arguments.positional.size());
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, given] : arguments.named) {
    std::size_t at = 0;
    while (at < names_.size() && name != names_[at]) ++at;
    require(at < names_.size(), "'", function_, "' has no argument '", name, "'");
    require(!values_[at], "'", function_, "' is given '", name, "' twice");
    values_[at] = &given;
  }
}

const TemplateValue& ArgumentReader::value(std::size_t at) const {
  require(values_[at] != nullptr, "'", function_, "' wants the argument '", names_[at], "'");
  return *values_[at];
}

const MarkedText& ArgumentReader::text(std::size_t at) const {
  const TemplateValue& found = value(at);
  if (!found.as_text()) fail_if_undefined(found);
  require(found.as_text() != nullptr, "'", function_, "' wants a string for '", names_[at], "', found ",
          type_name(found));
  return *found.as_text();
}

std::int64_t ArgumentReader::integer(std::size_t at, std::int64_t otherwise) const {
  if (!values_[at]) return otherwise;
  std::int64_t storage = 0;
  require(integer_of(*values_[at], storage) != nullptr, "'", function_, "' wants an integer for '",
          names_[at], "', found ", type_name(*values_[at]));
  return storage;
}

bool ArgumentReader::truth_of(std::size_t at, bool otherwise) const {
  return values_[at] ? truth(*values_[at]) : otherwise;
}

std::string ArgumentReader::text_or(std::size_t at, std::string otherwise) const {
  return given(at) ? text(at).bytes() : otherwise;
}

TemplateValue Interpreter::filter(const std::string& name, const TemplateValue& value,
                                  const CallArguments& arguments) {
  Filter found = find_text_filter(name);
  if (!found) found = find_list_filter(name);
  require(found != nullptr, "there is no filter '", name, "' here");
  if (const MarkedText* text = value.as_text()) spend(text->size() / 64);
  return found(*this, value, arguments);
}

}  // namespace lathe
