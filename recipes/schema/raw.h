#pragma once
// A section kept unread for a layer above (the family of `model:`), and the place in a file that errors point
// at.
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace lathe {

struct Yaml;  // recipes/schema/yaml.h

// 1-based; columns count characters, not bytes. file is "--set #1" (line 0) for command-line overrides.
struct Place {
  std::string file;
  int line = 0, column = 0;
};

using Places = std::map<std::string, Place>;  // of the dotted keys that are there: "data.train[0].path"
// The key's place, else that of the section or list around it, else the beginning of `file`.
Place place_of(const Places& places, const std::string& file, const std::string& key);

// One thing wrong with a recipe. Errors of all stages are sorted by place and printed together.
struct RecipeProblem {
  Place place;
  std::string text;
};

// Keys and YAML values in the order of the file. Decoded by decode_section() in recipes/schema/reader.h.
struct RawSection {
  struct Entry {
    std::string key;
    std::shared_ptr<const Yaml> value;
    Place key_place, value_place;
  };
  std::string path;  // "model"
  std::vector<Entry> entries;
  std::vector<std::string> siblings;  // keys of the section that were read already: offered by "did you mean"
};

}  // namespace lathe
