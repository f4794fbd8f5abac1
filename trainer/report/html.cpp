#include "trainer/report/html.h"

#include "data/io/utf8.h"
#include "trainer/report/format.h"

namespace lathe {
namespace {

bool is_flat(const Json& value) {
  if (!value.is_structured()) return true;
  if (!value.is_array()) return value.empty();
  for (const auto& item : value) {
    if (item.is_structured()) return false;
  }
  return true;
}

std::string flat_text(const Json& value) {
  if (!value.is_array()) return value.is_object() ? "{}" : json_scalar(value);
  std::string out;
  for (const auto& item : value) out += (out.empty() ? "" : ", ") + json_scalar(item);
  return "[" + out + "]";
}

void outline_into(std::string& out, const Json& value, const std::string& indent) {
  if (is_flat(value)) {
    out += indent + flat_text(value) + "\n";
  } else if (value.is_array()) {
    for (const auto& item : value) {
      std::string inner;
      outline_into(inner, item, indent + "  ");
      inner.replace(indent.size(), 2, "- ");
      out += inner;
    }
  } else {
    for (const auto& [key, item] : value.items()) {
      if (is_flat(item)) {
        out += indent + key + ": " + flat_text(item) + "\n";
      } else {
        out += indent + key + ":\n";
        outline_into(out, item, indent + "  ");
      }
    }
  }
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : replace_invalid_utf8(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default: {
        const auto byte = static_cast<unsigned char>(c);
        const bool control = (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f;
        if (control) {
          out += "&#xfffd;";
        } else {
          out += c;
        }
      }
    }
  }
  return out;
}

std::string json_scalar(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return format_significant(value.get<double>(), 6);
  if (value.is_structured()) return flat_text(value);
  return value.dump();
}

std::string json_outline(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  std::string out;
  outline_into(out, value, "");
  return out;
}

}  // namespace lathe
