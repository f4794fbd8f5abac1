#pragma once
// A layout as JSON, for the pipe from the process that read it. A Layout has two functions beside it:
// each_array(layout, visit) names its ArrayPlaces, each_value(layout, visit) its numbers and texts.
#include <string>
#include <type_traits>
#include <vector>

#include "data/io/json.h"
#include "data/shards/layout.h"

namespace lathe {

template <class Layout>
Json fields_to_json(const Layout& layout) {
  Json json = Json::object();
  each_array(layout, [&](const char* name, const ArrayPlace& place) {
    json[name] = Json::array({place.offset, place.count, place.width});
  });
  each_value(layout, [&](const char* name, const auto& value) { json[name] = value; });
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
  each_value(layout, [&](const char* name, auto& value) {
    value = json_get<std::decay_t<decltype(value)>>(json, name, path);
  });
  return layout;
}

}  // namespace lathe
