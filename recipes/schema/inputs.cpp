#include "recipes/schema/inputs.h"

#include <cstdlib>
#include <filesystem>

#include "recipes/schema/builtin.h"
#include "recipes/schema/scalars.h"

namespace lathe {

namespace fs = std::filesystem;

namespace {

bool is_address(const std::string& text) {
  const auto end = text.find("://");
  return end != 0 && end != text.npos &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789") == end;
}

// Runs are written to runs/ of the current folder, so a recipe that comes with the program finds there what
// it takes of another.
std::string root_of(const std::string& text, const std::string& folder) {
  if (!text.starts_with("runs/")) return folder;
  std::error_code error;
  const fs::path ours = fs::weakly_canonical(builtin_folder(), error);
  const fs::path below = fs::weakly_canonical(folder, error).lexically_relative(ours);
  const bool inside = !error && !ours.empty() && !below.empty() && *below.begin() != "..";
  return inside ? fs::current_path().string() : folder;
}

void resolve(Yaml& value, const std::string& folder) {
  if (value.kind == Yaml::Kind::Scalar) value.text = absolute_path(value.text, root_of(value.text, folder));
}

void resolve_item(Yaml& item, const std::string& folder) {
  resolve(item, folder);
  if (YamlEntry* path = item.find("path")) resolve(path->value, folder);
}

void resolve_sources(Yaml& value, const std::string& folder) {
  resolve(value, folder);
  for (Yaml& item : value.items) resolve_item(item, folder);
}

}  // namespace

bool share_like(const Yaml& value) {
  if (value.kind != Yaml::Kind::Scalar) return false;
  const std::string& text = value.text;
  if (parse_number(text).hint == kOnlyFinite) return true;
  return text.find_first_of("0123456789") != std::string::npos &&
         text.find_first_not_of("0123456789.,_+-eE%") == std::string::npos;
}

std::string absolute_path(const std::string& text, const std::string& folder) {
  if (text.empty() || is_address(text))
    return text;  // an address: who reads it says that it is fetched first
  std::filesystem::path path = text;
  const char* home = std::getenv("HOME");
  if (home && (text == "~" || text.starts_with("~/")))
    path = std::filesystem::path(home) / text.substr(text.size() > 1 ? 2 : 1);
  std::string out = (std::filesystem::path(folder) / path).lexically_normal().string();
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  return out;
}

void resolve_inputs(Yaml& document, const std::string& folder) {
  const auto section = [&](const char* name) -> Yaml* {
    YamlEntry* entry = document.find(name);
    return entry ? &entry->value : nullptr;
  };
  const auto one = [&](Yaml* in, const char* key) {
    if (YamlEntry* entry = in ? in->find(key) : nullptr) resolve(entry->value, folder);
  };
  one(section("model"), "path");
  one(section("tokenizer"), "path");
  one(section("evaluate"), "prompts");
  one(section("evaluate"), "probe");
  one(section("prior"), "prompts");
  if (Yaml* data = section("data")) {
    if (YamlEntry* train = data->find("train")) resolve_sources(train->value, folder);
    YamlEntry* validation = data->find("validation");
    if (validation && !share_like(validation->value)) resolve_sources(validation->value, folder);
  }
}

void resolve_source_item(Yaml& value, const std::vector<std::string>& key, const std::string& folder) {
  if (key.size() < 3 || key[0] != "data" || (key[1] != "train" && key[1] != "validation")) return;
  if (key.size() == 3) resolve_item(value, folder);
  if (key.size() == 4 && key[3] == "path") resolve(value, folder);
}

}  // namespace lathe
