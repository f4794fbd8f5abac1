#pragma once
// Text with {column} slots, as data.template and JumpStart's template.json have it (Python's format strings
// without conversions): {name} is a field of the record, {{ and }} are braces.
#include <string>
#include <vector>

#include "data/io/json.h"

namespace lathe {

class SlotText {
 public:
  // `where` names the template in errors: a brace that does not close, an empty name, a slot without any text
  // around that is not one. A template without slots is an Error: every example would be the same.
  SlotText(const std::string& text, const std::string& where);
  std::vector<std::string> columns() const;  // in order, each once
  // Text and numbers are filled in; a missing field, null, a list or an object is an Error that begins with
  // `where`.
  std::string fill(const Json& record, const std::string& where) const;

 private:
  struct Part {
    std::string text;  // literal, or the column's name
    bool slot;
  };
  std::vector<Part> parts_;
};

}  // namespace lathe
