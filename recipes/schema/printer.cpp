// print_recipe and compare_recipes: the resolved recipe as text.
#include <algorithm>
#include <map>

#include "recipes/schema/describe.h"
#include "recipes/schema/error.h"
#include "recipes/schema/load.h"
#include "recipes/schema/yaml.h"

namespace lathe {

namespace {

using Sources = std::map<std::string, std::string>;

class Printer {
 public:
  explicit Printer(const Sources* sources) : sources_(sources) {}

  void section(const std::vector<Field>& fields, const std::string& prefix, int depth) {
    for (const Field& field : fields) {
      if (field.kind == Field::Kind::Rest) {
        for (const auto& entry : field.raw->entries)
          raw(entry.key, *entry.value, prefix + "." + entry.key, depth);
      } else if (prefix.empty() && field.key == "base") {
        continue;  // its values are here; reading it again would only add a way to fail
      } else {
        one(field, prefix.empty() ? field.key : prefix + "." + field.key, depth);
      }
    }
  }

  std::string text() {
    std::size_t widest = 0;
    for (const Line& line : lines_) {
      if (!line.source.empty()) widest = std::max(widest, line.text.size());
    }
    widest = std::min<std::size_t>(widest, 60);
    std::string out;
    for (const Line& line : lines_) {
      out += line.text;
      if (!line.source.empty()) {
        out.append(widest > line.text.size() ? widest - line.text.size() : 0, ' ');
        out += "  # " + line.source;
      }
      out += '\n';
    }
    return out;
  }

 private:
  struct Line {
    std::string text, source;
  };

  void put(int depth, const std::string& text, const std::string& path = "") {
    std::string source;
    if (sources_ && !path.empty()) {
      const auto found = sources_->find(path);
      source = found == sources_->end() ? "default" : found->second;
    }
    lines_.push_back(
        {(item_ ? std::string(2 * (depth - 1), ' ') + "- " : std::string(2 * depth, ' ')) + text, source});
    item_ = false;
  }

  void one(const Field& field, const std::string& path, int depth) {
    const std::string key = field.key + ":";
    if (field.list) {
      std::string values;
      for (const std::string& value : field.values) values += (values.empty() ? "" : ", ") + value;
      if (!field.values.empty()) put(depth, cat(key, " [", values, "]"), path);
    } else if (field.kind == Field::Kind::Section) {
      if (!field.present) return;
      put(depth, key);
      const std::size_t before = lines_.size();
      section(field.fields, path, depth + 1);
      if (lines_.size() == before) lines_.pop_back();
    } else if (field.value) {
      if (*field.value != "\"\"") put(depth, cat(key, " ", *field.value), path);
    } else if (!field.items.empty()) {
      put(depth, key);
      for (std::size_t i = 0; i < field.items.size(); ++i) {
        item_ = true;
        section(field.items[i], cat(path, "[", i, "]"), depth + 2);
        if (item_) put(depth + 2, "{}");
      }
    }
  }

  static std::string scalar(const Yaml& value) {
    if (value.kind == Yaml::Kind::Null) return "null";
    if (value.kind == Yaml::Kind::List) return "[]";
    if (value.kind == Yaml::Kind::Map) return "{}";
    return value.quoted ? yaml_quoted(value.text) : value.text;
  }

  static std::string safe_key(const std::string& key) { return yaml_scalar(key); }

  void raw(const std::string& key, const Yaml& value, const std::string& path, int depth) {
    if (value.items.empty() && value.entries.empty())
      return put(depth, cat(safe_key(key), ": ", scalar(value)), path);
    put(depth, safe_key(key) + ":", path);
    raw_children(value, depth + 1);
  }

  void raw_children(const Yaml& value, int depth) {
    for (const YamlEntry& entry : value.entries) raw(entry.key, entry.value, "", depth);
    for (const Yaml& item : value.items) {
      item_ = true;
      if (item.items.empty() && item.entries.empty()) {
        put(depth + 1, scalar(item));
      } else if (item.kind == Yaml::Kind::List) {
        put(depth + 1, "");
        raw_children(item, depth + 1);
      } else {
        raw_children(item, depth + 1);
      }
    }
  }

  const Sources* sources_;
  std::vector<Line> lines_;
  bool item_ = false;  // the next line opens an item of a list
};

}  // namespace

std::string print_recipe(const LoadedRecipe& loaded, bool with_sources) {
  Printer printer(with_sources ? &loaded.source : nullptr);
  printer.section(describe_fields(loaded.recipe), "", 0);
  return printer.text();
}

std::vector<RecipeDifference> compare_recipes(const Recipe& before, const Recipe& after) {
  const auto old_values = flatten(describe_fields(before)), new_values = flatten(describe_fields(after));
  std::map<std::string, std::string> old_by_key, new_by_key;
  std::vector<std::string> keys;
  for (const FlatValue& value : old_values) old_by_key[value.key] = value.value;
  for (const FlatValue& value : new_values) new_by_key[value.key] = value.value;
  for (const FlatValue& value : old_values) keys.push_back(value.key);
  for (const FlatValue& value : new_values) {
    if (!old_by_key.count(value.key)) keys.push_back(value.key);
  }
  const auto text = [](const std::map<std::string, std::string>& values, const std::string& key) {
    const auto found = values.find(key);
    return found == values.end() ? std::string("not set") : found->second;
  };
  std::vector<RecipeDifference> differences;
  for (const std::string& key : keys) {
    if (key == "base") continue;
    const std::string was = text(old_by_key, key), is = text(new_by_key, key);
    if (was != is) differences.push_back({key, was, is});
  }
  return differences;
}

}  // namespace lathe
