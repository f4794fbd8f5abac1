#pragma once
// A layout as JSON, for the pipe from the process that read it. A Layout has two functions beside it:
// each_array(layout, visit) names its ArrayPlaces, each_value(layout, visit) the numbers and texts that its
// ShardHead lacks.
#include <string>
#include <type_traits>
#include <vector>

#include "data/io/json.h"
#include "data/shards/layout.h"

namespace lathe {

template <class Head, class Visit>
void each_of_head(Head& head, const Visit& visit) {
  visit("file_size", head.file_size);
  visit("version", head.version);
  visit("index_hash", head.index_hash);
  visit("format", head.format);
  visit("source_sha256", head.source_sha256);
  visit("settings", head.settings);
}

template <class Layout>
Json fields_to_json(const Layout& layout) {
  Json json = Json::object();
  each_array(layout, [&](const char* name, const ArrayPlace& place) {
    json[name] = Json::array({place.offset, place.count, place.width});
  });
  const auto write = [&](const char* name, const auto& value) { json[name] = value; };
  each_of_head(layout, write);
  each_value(layout, write);
  return json;
}

// Errors name `path` and the field: absent, of another type, places that are not three numbers.
template <class Layout>
Layout fields_from_json(const Json& json, const std::string& path) {
  Layout layout;
  each_array(layout, [&](const char* name, ArrayPlace& place) {
    const auto values = json_get<std::vector<std::uint64_t>>(json, name, path);
    require(values.size() == 3, path, ": the answer about '", name, "' is not whole");
    place = {values[0], values[1], values[2]};
  });
  const auto read = [&](const char* name, auto& value) {
    value = json_get<std::decay_t<decltype(value)>>(json, name, path);
  };
  each_of_head(layout, read);
  each_value(layout, read);
  return layout;
}

}  // namespace lathe
