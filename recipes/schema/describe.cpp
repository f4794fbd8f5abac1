#include "recipes/schema/describe.h"

#include "recipes/schema/error.h"
#include "recipes/schema/yaml.h"

namespace lathe {

namespace {

void flatten_yaml(const Yaml& value, const std::string& path, std::vector<FlatValue>& out) {
  switch (value.kind) {
    case Yaml::Kind::Null:
      out.push_back({path, "null"});
      break;
    case Yaml::Kind::Scalar:
      out.push_back({path, value.quoted ? yaml_quoted(value.text) : value.text});
      break;
    case Yaml::Kind::List:
      if (value.items.empty()) out.push_back({path, "[]"});
      for (std::size_t i = 0; i < value.items.size(); ++i)
        flatten_yaml(value.items[i], cat(path, "[", i, "]"), out);
      break;
    case Yaml::Kind::Map:
      if (value.entries.empty()) out.push_back({path, "{}"});
      for (const YamlEntry& entry : value.entries) flatten_yaml(entry.value, cat(path, ".", entry.key), out);
      break;
  }
}

void flatten_field(const Field& field, const std::string& path, std::vector<FlatValue>& out);

void flatten_all(const std::vector<Field>& fields, const std::string& prefix, std::vector<FlatValue>& out) {
  for (const Field& field : fields) {
    if (field.kind == Field::Kind::Rest) {
      for (const auto& entry : field.raw->entries)
        flatten_yaml(*entry.value, cat(prefix, ".", entry.key), out);
    } else {
      flatten_field(field, prefix.empty() ? field.key : cat(prefix, ".", field.key), out);
    }
  }
}

void flatten_field(const Field& field, const std::string& path, std::vector<FlatValue>& out) {
  if (!field.present && !field.automatic) return;
  if (field.list) {
    std::string text;
    for (const std::string& value : field.values) text += (text.empty() ? "" : ", ") + value;
    out.push_back({path, "[" + text + "]"});
  } else if (field.kind == Field::Kind::Section) {
    flatten_all(field.fields, path, out);
  } else if (field.value) {
    out.push_back({path, *field.value});
  } else {
    for (std::size_t i = 0; i < field.items.size(); ++i)
      flatten_all(field.items[i], cat(path, "[", i, "]"), out);
  }
}

void collect_keys(const std::vector<Field>& fields, const std::string& prefix,
                  std::vector<std::string>& out) {
  for (const Field& field : fields) {
    if (field.kind == Field::Kind::Rest) continue;
    const std::string path = prefix.empty() ? field.key : cat(prefix, ".", field.key);
    out.push_back(path);
    if (field.kind == Field::Kind::Section) collect_keys(field.fields, path, out);
  }
}

}  // namespace

std::string folds_text(const FoldsSection& folds) {
  return folds.fold > 0 ? cat("{folds: ", folds.folds, ", fold: ", folds.fold, "}")
                        : cat("{folds: ", folds.folds, "}");
}

std::vector<FlatValue> flatten(const std::vector<Field>& fields, const std::string& prefix) {
  std::vector<FlatValue> out;
  flatten_all(fields, prefix, out);
  return out;
}

const std::vector<std::string>& all_recipe_keys() {
  static const std::vector<std::string> keys = [] {
    const Recipe recipe;
    std::vector<std::string> out;
    collect_keys(describe_fields(recipe), "", out);
    return out;
  }();
  return keys;
}

}  // namespace lathe
