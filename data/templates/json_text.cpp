// json.dumps, as tojson calls it.
#include <algorithm>
#include <cmath>
#include <utility>

#include "data/io/utf8.h"
#include "data/templates/python_text.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr int kMaxNesting = 200;

std::string json_character(char32_t c, bool ascii) {
  static const char kFrom[] = "\"\\\n\r\t\b\f", kTo[] = "\"\\nrtbf";
  for (std::size_t i = 0; kFrom[i]; ++i) {
    if (c == static_cast<char32_t>(kFrom[i])) return std::string("\\") + kTo[i];
  }
  if (c < 0x20 || (ascii && c >= 0x7F && c < 0x10000)) return hex_escape("\\u%04x", c);
  if (ascii && c >= 0x10000) {
    return hex_escape("\\u%04x", 0xD800 + ((c - 0x10000) >> 10)) +
           hex_escape("\\u%04x", 0xDC00 + ((c - 0x10000) & 0x3FF));
  }
  std::string out;
  append_utf8(out, c);
  return out;
}

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}
  MarkedText take() { return std::move(out_); }

  void write(const TemplateValue& value, int depth) {
    require(depth < kMaxNesting, "values nested deeper than ", kMaxNesting);
    if (value.as_text()) return string(value);
    if (const ListValue* list = value.as_list();
        list && (list->kind == Sequence::List || list->kind == Sequence::Tuple)) {
      return items(value, list->items, depth);
    }
    if (value.as_dict()) return dict(value, depth);
    out_.append(scalar(value), value.source);
  }

 private:
  static std::string scalar(const TemplateValue& value) {
    if (value.is_none()) return "null";
    if (const bool* b = value.get_if<bool>()) return *b ? "true" : "false";
    if (const auto* d = value.get_if<double>(); d && !std::isfinite(*d)) {
      return std::isnan(*d) ? "NaN" : *d < 0 ? "-Infinity" : "Infinity";
    }
    require(value.is_number(), "object of type ", type_name(value), " is not JSON serializable");
    return scalar_text(value);
  }

  void string(const TemplateValue& value) {
    const MarkedText& text = *value.as_text();
    const SourceId source = quote_source(value);
    out_.append("\"", source);
    for (std::size_t i = 0; i < text.size();) {
      const CodePoint c = decode_utf8(text.bytes(), i);
      out_.append(json_character(c.value, style_.ascii), text.source_at(i));
      i += c.length;
    }
    out_.append("\"", source);
  }

  void line(int depth, SourceId source) {
    if (!style_.lines) return;
    out_.append("\n", source);
    for (int i = 0; i < depth; ++i) out_.append(style_.indent, source);
  }

  void items(const TemplateValue& value, const ValueList& list, int depth) {
    out_.append("[", value.source);
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (i > 0) out_.append(style_.comma, value.source);
      line(depth + 1, value.source);
      write(list[i], depth + 1);
    }
    if (!list.empty()) line(depth, value.source);
    out_.append("]", value.source);
  }

  void dict(const TemplateValue& value, int depth) {
    auto members = value.as_dict()->items;
    if (style_.sort_keys) {
      std::stable_sort(members.begin(), members.end(),
                       [](const auto& a, const auto& b) { return compare_values(a.first, b.first) < 0; });
    }
    out_.append("{", value.source);
    bool first = true;
    for (const auto& [key, item] : members) {
      if (!std::exchange(first, false)) out_.append(style_.comma, value.source);
      line(depth + 1, value.source);
      string(key.as_text() ? key : TemplateValue::text(MarkedText(scalar(key), key.source), key.source));
      out_.append(style_.colon, value.source);
      write(item, depth + 1);
    }
    if (!members.empty()) line(depth, value.source);
    out_.append("}", value.source);
  }

  const JsonStyle& style_;
  MarkedText out_;
};

}  // namespace

MarkedText to_json(const TemplateValue& value, const JsonStyle& style) {
  JsonWriter writer(style);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace lathe
