#pragma once
// One YAML document as a plain tree that keeps what strict reading needs and yaml-cpp's nodes lose: whether a
// scalar was quoted, where every key and value stands, keys that come twice. Scalars stay text; reader.h
// decodes them. Limits hold while parsing: 1 MB a file, 64 levels, 100 aliases, 100,000 values after aliases
// are expanded.
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "recipes/schema/raw.h"

namespace lathe {

struct YamlEntry;

struct Yaml {
  enum class Kind { Null, Scalar, List, Map };
  Kind kind = Kind::Null;
  std::string text;         // Scalar
  bool quoted = false;      // Scalar: quoted or a block of text, so never a number
  bool incomplete = false;  // Map: a key was refused, so what is missing is not to be complained about
  Place place;
  std::vector<Yaml> items;         // List
  std::vector<YamlEntry> entries;  // Map, in the order of the file, keys unique

  const YamlEntry* find(const std::string& key) const;
  YamlEntry* find(const std::string& key);
};

struct YamlEntry {
  std::string key;
  Place key_place;
  Yaml value;
};

constexpr std::size_t kMaxRecipeBytes = 1 << 20;
constexpr int kMaxYamlDepth = 64, kMaxYamlAliases = 100, kMaxYamlValues = 100'000;

// Everything wrong is added to problems. nullopt when there is no tree to go on with (not YAML, over a
// limit). With place_as, every place is that one: values of `--set` have no line of their own.
std::optional<Yaml> parse_yaml(const std::string& text, const std::string& file,
                               std::vector<RecipeProblem>& problems, const Place* place_as = nullptr);

// "x.yaml:7:3", or the file alone when there is no line; and the same without the column.
std::string place_text(const Place& place);
std::string source_text(const Place& place);

}  // namespace lathe
