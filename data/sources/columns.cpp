#include "data/sources/columns.h"

namespace lathe {

std::string lower_column(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  for (std::size_t at = 0; (at = out.find("\xC3\x89", at)) != out.npos;)
    out.replace(at, 2, "\xC3\xA9");  // E acute
  return out;
}

std::optional<std::string> find_column(const Json& record, std::string_view column) {
  if (const std::string exact(column); record.contains(exact)) return exact;
  for (const auto& [key, value] : record.items()) {
    if (lower_column(key) == column) return key;
  }
  return std::nullopt;
}

std::string column_names(const Json& record) {
  std::string keys;
  std::size_t count = 0;
  for (const auto& [key, value] : record.items()) {
    if (++count > 8) return keys + " ...";
    keys += (keys.empty() ? "'" : ", '") + key + "'";
  }
  return keys.empty() ? "nothing" : keys;
}

}  // namespace lathe
