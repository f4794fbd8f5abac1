#include "recipes/schema/overrides.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "recipes/schema/aliases.h"
#include "recipes/schema/error.h"
#include "recipes/schema/inputs.h"
#include "recipes/schema/scalars.h"

namespace lathe {

namespace {

bool is_index(const std::string& word) {
  return !word.empty() && word.size() < 7 && word.find_first_not_of("0123456789") == std::string::npos;
}

// "data.train[0].path" -> data, train, 0, path; empty when a part is missing.
std::vector<std::string> key_parts(std::string key) {
  std::string plain;
  for (std::size_t i = 0; i < key.size(); ++i) {
    if (key[i] == '[') {
      plain += '.';
    } else if (key[i] == ']') {
      if (i + 1 < key.size() && key[i + 1] != '.' && key[i + 1] != '[') return {};
    } else {
      plain += key[i];
    }
  }
  std::vector<std::string> parts(1);
  for (char c : plain) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  const bool bad = std::any_of(parts.begin(), parts.end(), [](const std::string& part) {
    return part.empty() || part.find_first_of(" \t\"'{}:#,") != std::string::npos;
  });
  return bad ? std::vector<std::string>{} : parts;
}

// `*.md` and the like are text here: on a command line nobody means an alias, an anchor, a tag or a comment.
std::optional<Yaml> parse_value(const std::string& text, const Place& place,
                                std::vector<RecipeProblem>& problems) {
  if (text.empty() || std::string("*&!%@`|>#").find(text[0]) == std::string::npos) {
    return parse_yaml(text, place.file, problems, &place);
  }
  Yaml value;
  value.kind = Yaml::Kind::Scalar;
  value.text = text;
  value.quoted = true;
  value.place = place;
  return value;
}

// The value as a document of its own: {a: {b: value}}.
Yaml nested(const std::vector<std::string>& parts, Yaml value, const Place& place) {
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    Yaml section;
    section.kind = Yaml::Kind::Map;
    section.place = place;
    section.entries.push_back({*part, place, std::move(value)});
    value = std::move(section);
  }
  return value;
}

// Follows the parts as far as they lead into lists; false when an index leads nowhere (reported).
bool set_inside(Yaml& recipe, const std::vector<std::string>& parts, Yaml value, const Place& place,
                std::vector<RecipeProblem>& problems) {
  Yaml* at = &recipe;
  std::string path;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string& part = parts[i];
    if (is_index(part)) {
      const auto index = static_cast<std::size_t>(std::stoul(part));
      if (at->kind != Yaml::Kind::List || index >= at->items.size()) {
        const std::string have =
            at->kind == Yaml::Kind::List ? cat("a list of ", at->items.size()) : "no list";
        problems.push_back({place, cat("'", path, "[", part, "]' is not there: '", path, "' is ", have)});
        return false;
      }
      at = &at->items[index];
      path += cat("[", part, "]");
      continue;
    }
    const bool inputs = path == "data.train" || path == "data.validation" ||
                        path.starts_with("data.train[") || path.starts_with("data.validation[");
    if (inputs && at->kind == Yaml::Kind::Scalar) {  // a source given by its path alone
      Yaml section = nested({"path"}, *at, at->place);
      *at = std::move(section);
    }
    if (at->kind == Yaml::Kind::Null) at->kind = Yaml::Kind::Map;
    if (at->kind != Yaml::Kind::Map) {
      problems.push_back({place, cat("'", path, "' is no section")});
      return false;
    }
    path += (path.empty() ? "" : ".") + part;
    YamlEntry* entry = at->find(part);
    if (!entry && i + 1 < parts.size() && is_index(parts[i + 1])) {
      problems.push_back(
          {place, cat("'", path, "[", parts[i + 1], "]' is not there: the recipe has no '", path, "'")});
      return false;
    }
    if (!entry) {
      at->entries.push_back({part, place, Yaml{}});
      entry = &at->entries.back();
    }
    at = &entry->value;
  }
  merge_yaml(*at, std::move(value));
  return true;
}

}  // namespace

void merge_yaml(Yaml& below, Yaml above) {
  if (below.kind != Yaml::Kind::Map || above.kind != Yaml::Kind::Map) {
    below = std::move(above);
    return;
  }
  for (YamlEntry& entry : above.entries) {
    if (YamlEntry* old = below.find(entry.key)) {
      old->key_place = entry.key_place;
      merge_yaml(old->value, std::move(entry.value));
    } else {
      below.entries.push_back(std::move(entry));
    }
  }
  below.place = above.place;
  below.incomplete |= above.incomplete;
}

namespace {

void choose(Yaml& below, const Yaml& above, const char* section, const char* other_way) {
  YamlEntry* old = below.find(section);
  const YamlEntry* now = above.find(section);
  if (!old || !now) return;
  const bool by_path = now->value.find("path"), otherwise = now->value.find(other_way);
  if (by_path == otherwise) return;
  std::erase_if(old->value.entries,
                [&](const YamlEntry& entry) { return (entry.key == "path") == otherwise; });
}

// The shapes that model.size stands for, in the names of the families.
bool is_shape(const std::string& key) {
  static const std::set<std::string> shapes{"hidden_size",
                                            "intermediate_size",
                                            "num_hidden_layers",
                                            "num_attention_heads",
                                            "num_key_value_heads",
                                            "head_dim",
                                            "n_embd",
                                            "n_layer",
                                            "n_head",
                                            "n_inner"};
  return shapes.contains(key);
}

// A size is for the shapes that stand below it; several --set are one layer.
void choose_size(Yaml& below, const Yaml& above) {
  YamlEntry* old = below.find("model");
  const YamlEntry* now = above.find("model");
  if (!old || !now || !now->value.find("size")) return;
  std::erase_if(old->value.entries, [](const YamlEntry& entry) {
    return is_shape(entry.key) && !entry.key_place.file.starts_with("--set");
  });
}

}  // namespace

void merge_documents(Yaml& below, Yaml above) {
  choose(below, above, "model", "family");
  choose_size(below, above);
  choose(below, above, "tokenizer", "train");
  merge_yaml(below, std::move(above));
}

void apply_override(Yaml& recipe, const std::string& text, int number, std::vector<RecipeProblem>& problems,
                    std::vector<std::string>& notes) {
  const Place place{cat("--set #", number), 0, 0};
  const auto equals = text.find('=');
  const auto parts =
      equals == std::string::npos ? std::vector<std::string>{} : key_parts(text.substr(0, equals));
  if (parts.empty() || is_index(parts[0])) {
    problems.push_back({place, cat("'", printable(text), "' is not of the form section.key=value")});
    return;
  }
  if (parts[0] == "base") {
    problems.push_back({place, "'base' cannot be set here; write it in the recipe"});
    return;
  }
  auto value = parse_value(text.substr(equals + 1), place, problems);
  if (!value) return;
  const std::string folder = std::filesystem::current_path().string();
  if (std::any_of(parts.begin(), parts.end(), is_index)) {
    resolve_source_item(*value, parts, folder);
    set_inside(recipe, parts, std::move(*value), place, problems);
    return;
  }
  Yaml document = nested(parts, std::move(*value), place);
  rename_aliases(document, problems, notes);
  resolve_inputs(document, folder);
  merge_documents(recipe, std::move(document));
}

}  // namespace lathe
