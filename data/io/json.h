#pragma once
// JSON (RFC 8259) of untrusted files: nlohmann's ordered_json behind limits on size and depth; duplicate
// keys, invalid UTF-8, NaN and trailing bytes are errors that name the file and the byte. get<> helpers name
// the key they miss.
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "recipes/schema/error.h"

namespace lathe {

using Json = nlohmann::ordered_json;

struct JsonLimits {
  std::size_t max_bytes = std::size_t{256} << 20;
  int max_depth = 64;
};

// `where` names the text in errors: a file's path.
Json parse_json(std::string_view text, const std::string& where, const JsonLimits& limits = {});
Json read_json(const std::string& path, const JsonLimits& limits = {});

// object.at(key) as T; Error "where: 'key': wanted <type>, found ..." when absent or of another type.
template <class T>
T json_get(const Json& object, const char* key, const std::string& where) {
  if (!object.is_object() || !object.contains(key)) fail(where, ": key '", key, "' is missing");
  try {
    return object.at(key).get<T>();
  } catch (const nlohmann::json::exception& e) {
    fail(where, ": key '", key, "': ", e.what());
  }
}
template <class T>
T json_get_or(const Json& object, const char* key, T fallback, const std::string& where) {
  if (!object.is_object() || !object.contains(key) || object.at(key).is_null()) return fallback;
  return json_get<T>(object, key, where);
}

}  // namespace lathe
