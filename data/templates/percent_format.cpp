// Python's text % values.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "data/templates/python_text.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

// One conversion of a % format: its flags, and the value written.
std::string percent_number(const std::string& flags, char kind, const TemplateValue& value) {
  require(value.is_number(), "%", kind, " format: a number is required, not ", type_name(value));
  char out[512];
  int size = 0;
  if (kind == 'd' || kind == 'i' || kind == 'x') {
    std::int64_t storage = 0;
    const std::int64_t whole =
        integer_of(value, storage)
            ? storage
            : static_cast<std::int64_t>(std::trunc(std::clamp(number_of(value), -9e18, 9e18)));
    size = std::snprintf(out, sizeof out, ("%" + flags + (kind == 'x' ? "llx" : "lld")).c_str(),
                         static_cast<long long>(whole));
  } else {
    size = std::snprintf(out, sizeof out, ("%" + flags + kind).c_str(), number_of(value));
  }
  require(size >= 0 && size < static_cast<int>(sizeof out), "a % format of more than ", sizeof out,
          " characters");
  return {out, static_cast<std::size_t>(size)};
}

}  // namespace

MarkedText format_percent(const MarkedText& text, const TemplateValue& values) {
  const ListValue* tuple = values.as_list();
  const bool many = tuple && tuple->kind == Sequence::Tuple;
  std::size_t used = 0;
  const auto next = [&]() -> const TemplateValue& {
    require(many ? used < tuple->items.size() : used == 0, "not enough arguments for format string");
    ++used;
    return many ? tuple->items[used - 1] : values;
  };
  MarkedText out;
  const std::string& bytes = text.bytes();
  for (std::size_t i = 0; i < bytes.size();) {
    const std::size_t percent = std::min(bytes.find('%', i), bytes.size());
    out.append(text, i, percent);
    if (percent == bytes.size()) break;
    const std::size_t kind = bytes.find_first_not_of("-+ #0123456789.", percent + 1);
    require(kind != std::string::npos && kind - percent < 8, "incomplete format");
    const std::string flags = bytes.substr(percent + 1, kind - percent - 1);
    const char c = bytes[kind];
    if (c == '%') {
      out.append(text, kind, kind + 1);
    } else if ((c == 's' || c == 'r') && flags.empty()) {
      out.append(c == 's' ? to_text(next()) : to_repr(next()));
    } else {
      require(c == 'd' || c == 'i' || c == 'f' || c == 'x' || c == 'g' || c == 'e', "the format %", flags, c,
              " is not supported");
      const TemplateValue& value = next();
      out.append(percent_number(flags, c, value), value.source);
    }
    i = kind + 1;
  }
  require(!many || used == tuple->items.size(), "not all arguments converted during string formatting");
  require(many || used == 1 || values.as_dict(), "not all arguments converted during string formatting");
  return out;
}

}  // namespace lathe
