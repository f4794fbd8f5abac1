// Filters that make text or numbers of one value.
#include <unicode/uchar.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "data/io/utf8.h"
#include "data/templates/builtins.h"
#include "data/templates/operators.h"
#include "data/templates/python_text.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

using Value = const TemplateValue&;
using Arguments = const CallArguments&;

TemplateValue made(MarkedText text) { return TemplateValue::text(std::move(text)); }

template <TextCase to>
TemplateValue recase(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("upper, lower or capitalize", arguments, {});
  return made(change_case(to_text(value), to));
}

// Words begin behind white space and any of -([{<, unlike str.title.
TemplateValue title(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("title", arguments, {});
  const MarkedText text = to_text(value);
  const std::vector<std::size_t> at = character_offsets(text.bytes());
  MarkedText out;
  for (std::size_t i = 0; i + 1 < at.size();) {
    const auto separates = [&](std::size_t k) {
      const char32_t c = decode_utf8(text.bytes(), at[k]).value;
      return is_python_space(c) ||
             (c < 0x80 && std::string_view("-([{<").find(static_cast<char>(c)) != std::string_view::npos);
    };
    std::size_t end = i;
    while (end + 1 < at.size() && separates(end) == separates(i)) ++end;
    if (separates(i)) {
      out.append(text, at[i], at[end]);
    } else {
      out.append(change_case(text.slice(at[i], at[i + 1]), TextCase::Upper));
      out.append(change_case(text.slice(at[i + 1], at[end]), TextCase::Lower));
    }
    i = end;
  }
  return made(std::move(out));
}

TemplateValue trim(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("trim", arguments, {"chars"});
  return made(strip_text(to_text(value), read.given(0) ? &read.text(0).bytes() : nullptr));
}

TemplateValue replace(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("replace", arguments, {"old", "new", "count"});
  return made(replace_text(to_text(value), to_text(read.value(0)), to_text(read.value(1)),
                           read.given(2) ? read.integer(2, -1) : -1));
}

TemplateValue string(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("string", arguments, {});
  return made(to_text(value));
}

// Chat templates run without autoescape: `safe` marks text that nothing escapes.
TemplateValue safe(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("safe", arguments, {});
  return made(to_text(value));
}

TemplateValue escape(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("escape", arguments, {});
  const MarkedText text = to_text(value);
  MarkedText out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text.bytes()[i];
    const char* code = c == '&'    ? "&amp;"
                       : c == '<'  ? "&lt;"
                       : c == '>'  ? "&gt;"
                       : c == '"'  ? "&#34;"
                       : c == '\'' ? "&#39;"
                                   : nullptr;
    out.append(code ? code : std::string(1, c), text.source_at(i));
  }
  return made(std::move(out));
}

TemplateValue tojson(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  fail_if_undefined(value);
  JsonStyle style{.ascii = read.truth_of(0, false), .sort_keys = read.truth_of(3, false)};
  if (read.given(1)) {
    style.lines = true;
    style.comma = ",";
    if (read.find(1)->as_text()) {
      style.indent = read.text(1).bytes();
    } else {
      style.indent =
          std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(read.integer(1, 0), 0, 64)), ' ');
    }
  }
  if (read.given(2)) {
    const ValueList both = iterate(read.value(2));
    require(both.size() == 2 && both[0].as_text() && both[1].as_text(),
            "tojson wants two strings for 'separators'");
    style.comma = both[0].as_text()->bytes();
    style.colon = both[1].as_text()->bytes();
  }
  return made(to_json(value, style));
}

// The first line stays unless `first`; empty lines stay empty unless `blank`.
TemplateValue indent(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("indent", arguments, {"width", "first", "blank"});
  const bool first = read.truth_of(1, false), blank = read.truth_of(2, false);
  std::string margin = "    ";
  if (read.find(0) && read.find(0)->as_text())
    margin = read.text(0).bytes();
  else
    margin =
        std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(read.integer(0, 4), 0, 1000)), ' ');
  const MarkedText text = to_text(value);
  MarkedText out;
  std::size_t begin = 0;
  for (bool at_first = true; begin <= text.size(); at_first = false) {
    const std::size_t newline = std::min(text.bytes().find('\n', begin), text.size());
    if (at_first ? first : (blank || newline > begin)) out.append(margin, text.source_at(begin));
    out.append(text, begin, std::min(newline + 1, text.size()));
    begin = newline + 1;
  }
  return made(std::move(out));
}

TemplateValue center(Interpreter& in, Value value, Arguments arguments) {
  const ArgumentReader read("center", arguments, {"width"});
  const TemplateValue method = *find_method(made(to_text(value)), "center");
  return in.call(method, {{TemplateValue::integer(read.integer(0, 80))}, {}});
}

TemplateValue format(Interpreter&, Value value, Arguments arguments) {
  require(arguments.named.empty(), "format with names is not supported");
  return made(format_percent(to_text(value), TemplateValue::list(arguments.positional, Sequence::Tuple)));
}

// Runs of what Python's \w matches: "it's" are two.
TemplateValue wordcount(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("wordcount", arguments, {});
  const MarkedText text = to_text(value);
  std::int64_t words = 0;
  bool inside = false;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text.bytes(), at);
    const auto code = static_cast<UChar32>(c.value);
    const bool word = c.value == '_' || u_isalnum(code) || u_getNumericValue(code) != U_NO_NUMERIC_VALUE;
    words += word && !inside ? 1 : 0;
    inside = word;
    at += c.length;
  }
  return TemplateValue::integer(words);
}

// The number a text spells, or nothing.
std::optional<double> spelled_number(const std::string& text) {
  const std::string plain = strip_text(MarkedText(text), nullptr).bytes();
  const char* begin = plain.c_str() + (plain.starts_with('+') ? 1 : 0);
  double number = 0;
  const auto read = std::from_chars(begin, plain.c_str() + plain.size(), number);
  if (read.ec != std::errc() || read.ptr != plain.c_str() + plain.size()) return std::nullopt;
  return number;
}

TemplateValue to_integer(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("int", arguments, {"default", "base"});
  require(read.integer(1, 10) == 10, "int with another base than 10 is not supported");
  const TemplateValue otherwise = read.find(0) ? *read.find(0) : TemplateValue::integer(0);
  std::int64_t storage = 0;
  if (integer_of(value, storage)) return TemplateValue::integer(storage);
  std::optional<double> number;
  if (value.get_if<double>()) number = number_of(value);
  if (value.as_text()) {
    const std::string plain = strip_text(*value.as_text(), nullptr).bytes();
    const char* begin = plain.c_str() + (plain.starts_with('+') ? 1 : 0);
    const auto whole = std::from_chars(begin, plain.c_str() + plain.size(), storage);
    if (whole.ec == std::errc() && whole.ptr == plain.c_str() + plain.size())
      return TemplateValue::integer(storage);
    number = spelled_number(plain);
  }
  if (!number || !(std::fabs(*number) < 9.2e18)) return otherwise;
  return TemplateValue::integer(static_cast<std::int64_t>(*number));
}

TemplateValue to_float(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("float", arguments, {"default"});
  if (value.is_number()) return TemplateValue::real(number_of(value));
  if (value.as_text()) {
    if (const auto number = spelled_number(value.as_text()->bytes())) return TemplateValue::real(*number);
  }
  return read.find(0) ? *read.find(0) : TemplateValue::real(0);
}

TemplateValue absolute(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("abs", arguments, {});
  fail_if_undefined(value);
  require(value.is_number(), "bad operand type for abs(): '", type_name(value), "'");
  return number_of(value) < 0 ? unary_operation("-", value) : unary_operation("+", value);
}

TemplateValue round(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("round", arguments, {"precision", "method"});
  fail_if_undefined(value);
  require(value.is_number(), "round wants a number, found ", type_name(value));
  const std::string method = read.text_or(1, "common");
  const double scale =
      std::pow(10.0, static_cast<double>(std::clamp<std::int64_t>(read.integer(0, 0), -300, 300)));
  const double scaled = number_of(value) * scale;
  require(method == "common" || method == "ceil" || method == "floor", "round wants common, ceil or floor");
  if (method == "ceil") return TemplateValue::real(std::ceil(scaled) / scale);
  if (method == "floor") return TemplateValue::real(std::floor(scaled) / scale);
  return TemplateValue::real(std::nearbyint(scaled) / scale);  // half to even, as Python's round
}

TemplateValue fallback(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("default", arguments, {"default_value", "boolean"});
  const bool lacking = value.is_undefined() || (read.truth_of(1, false) && !truth(value));
  return !lacking ? value : read.find(0) ? *read.find(0) : TemplateValue::text("");
}

TemplateValue attribute(Interpreter&, Value value, Arguments arguments) {
  const ArgumentReader read("attr", arguments, {"name"});
  return get_attribute(value, read.text(0).bytes());
}

constexpr NamedFilter kFilters[] = {
    {"upper", recase<TextCase::Upper>},
    {"lower", recase<TextCase::Lower>},
    {"capitalize", recase<TextCase::Capitalize>},
    {"title", title},
    {"trim", trim},
    {"replace", replace},
    {"string", string},
    {"safe", safe},
    {"escape", escape},
    {"e", escape},
    {"tojson", tojson},
    {"indent", indent},
    {"center", center},
    {"format", format},
    {"wordcount", wordcount},
    {"int", to_integer},
    {"float", to_float},
    {"abs", absolute},
    {"round", round},
    {"default", fallback},
    {"d", fallback},
    {"attr", attribute},
};

}  // namespace

Filter find_text_filter(const std::string& name) {
  for (const NamedFilter& filter : kFilters) {
    if (name == filter.name) return filter.apply;
  }
  return nullptr;
}

}  // namespace lathe
