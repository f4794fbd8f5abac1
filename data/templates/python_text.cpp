#include "data/templates/python_text.h"

#include <unicode/uchar.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <utility>

#include "data/io/utf8.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr int kMaxNesting = 200;

bool is_printable(char32_t c) {
  if (c == ' ') return true;
  switch (u_charType(static_cast<UChar32>(c))) {
    case U_CONTROL_CHAR:
    case U_FORMAT_CHAR:
    case U_SURROGATE:
    case U_PRIVATE_USE_CHAR:
    case U_UNASSIGNED:
    case U_LINE_SEPARATOR:
    case U_PARAGRAPH_SEPARATOR:
    case U_SPACE_SEPARATOR:
      return false;
    default:
      return true;
  }
}

std::string repr_character(char32_t c, char quote) {
  if (c == '\n') return "\\n";
  if (c == '\r') return "\\r";
  if (c == '\t') return "\\t";
  if (c == '\\' || c == static_cast<char32_t>(quote)) return std::string("\\") + static_cast<char>(c);
  if (is_printable(c)) {
    std::string out;
    append_utf8(out, c);
    return out;
  }
  return hex_escape(c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
}

void repr_string(const TemplateValue& value, MarkedText& out) {
  const MarkedText& text = *value.as_text();
  const bool single = text.bytes().find('\'') != std::string::npos;
  const char quote = single && text.bytes().find('"') == std::string::npos ? '"' : '\'';
  const SourceId source = quote_source(value);
  out.append(std::string(1, quote), source);
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text.bytes(), i);
    out.append(repr_character(c.value, quote), text.source_at(i));
    i += c.length;
  }
  out.append(std::string(1, quote), source);
}

void write_repr(const TemplateValue& value, MarkedText& out, int depth);

void repr_items(const TemplateValue& value, MarkedText& out, int depth) {
  const ListValue& list = *value.as_list();
  require(list.kind != Sequence::Iterator, "a generator cannot be printed; put `| list` behind it");
  if (list.kind == Sequence::Range) return out.append(list.name, value.source);
  const bool tuple = list.kind == Sequence::Tuple;
  if (list.kind == Sequence::View) out.append(list.name + "(", value.source);
  out.append(tuple ? "(" : "[", value.source);
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out.append(", ", value.source);
    write_repr(list.items[i], out, depth + 1);
  }
  if (tuple && list.items.size() == 1) out.append(",", value.source);
  out.append(tuple ? ")" : "]", value.source);
  if (list.kind == Sequence::View) out.append(")", value.source);
}

void repr_dict(const TemplateValue& value, MarkedText& out, int depth) {
  out.append("{", value.source);
  bool first = true;
  for (const auto& [key, item] : value.as_dict()->items) {
    if (!std::exchange(first, false)) out.append(", ", value.source);
    write_repr(key, out, depth + 1);
    out.append(": ", value.source);
    write_repr(item, out, depth + 1);
  }
  out.append("}", value.source);
}

void write_repr(const TemplateValue& value, MarkedText& out, int depth) {
  require(depth < kMaxNesting, "values nested deeper than ", kMaxNesting);
  if (value.is_undefined()) return out.append("Undefined", value.source);
  if (value.as_text()) return repr_string(value, out);
  if (value.as_list()) return repr_items(value, out, depth);
  if (value.as_dict()) return repr_dict(value, out, depth);
  if (const auto* space = value.get_if<TemplateValue::Namespace>()) {
    out.append("<Namespace ", value.source);
    repr_dict(TemplateValue::dict((*space)->fields), out, depth + 1);
    return out.append(">", value.source);
  }
  if (const auto* callable = value.get_if<TemplateValue::Callable>()) {
    fail("'", (*callable)->name, "' is a function; it cannot be printed (call it)");
  }
  out.append(scalar_text(value), value.source);
}

}  // namespace

std::string hex_escape(const char* format, unsigned value) {
  char out[16];
  std::snprintf(out, sizeof out, format, value);
  return out;
}

std::string scalar_text(const TemplateValue& value) {
  if (value.is_none()) return "None";
  if (const bool* b = value.get_if<bool>()) return *b ? "True" : "False";
  if (const auto* i = value.get_if<std::int64_t>()) return std::to_string(*i);
  if (const auto* d = value.get_if<double>()) return float_repr(*d);
  return {};
}

SourceId quote_source(const TemplateValue& value) {
  if (const MarkedText* text = value.as_text()) return text->empty() ? value.source : text->source_at(0);
  return value.source;
}

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char out[64];
  const double size = std::fabs(value);
  const bool plain = size == 0 || (size >= 1e-4 && size < 1e16);
  const auto made = std::to_chars(out, out + sizeof out, value,
                                  plain ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(out, made.ptr);
  if (plain && text.find('.') == std::string::npos) text += ".0";
  return text;
}

MarkedText to_text(const TemplateValue& value) {
  if (value.as_text()) return *value.as_text();
  if (value.is_undefined()) return {};
  return to_repr(value);
}

MarkedText to_repr(const TemplateValue& value) {
  MarkedText out;
  write_repr(value, out, 0);
  return out;
}

}  // namespace lathe
