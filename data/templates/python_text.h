#pragma once
// How Python writes values: str, repr, json.dumps as transformers' tojson calls it, and % formatting.
// Everything written for a value carries the value's origin.
#include <string>

#include "data/templates/value.h"

namespace lathe {

MarkedText to_text(const TemplateValue& value);  // str(); undefined is empty
MarkedText to_repr(const TemplateValue& value);
std::string float_repr(double value);  // the shortest that reads back, as Python prints it

// The parts of the above.
std::string scalar_text(const TemplateValue& value);         // None, True, a number
std::string hex_escape(const char* format, unsigned value);  // printf of one number
SourceId quote_source(const TemplateValue& value);  // of the quotes around a text: its first character's

struct JsonStyle {
  bool ascii = false;  // ensure_ascii
  bool sort_keys = false;
  bool lines = false;       // indent given
  std::string indent = {};  // one level of it
  std::string comma = ", ", colon = ": ";
};
MarkedText to_json(const TemplateValue& value, const JsonStyle& style);

// text % values; %s %r %d %i %f %x %% with flags, width and precision.
MarkedText format_percent(const MarkedText& text, const TemplateValue& values);

}  // namespace lathe
