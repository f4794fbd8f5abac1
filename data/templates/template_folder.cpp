#include "data/templates/template_folder.h"

#include <filesystem>

#include "data/io/file_system.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kMaxTemplate = std::size_t{1} << 20;

Json read_if_there(const fs::path& path) { return fs::exists(path) ? read_json(path.string()) : Json(); }

// The text of a template given as a string or as a list of named ones.
std::string chosen(const Json& given, const std::string& name, const std::string& where) {
  if (given.is_string()) return given.get<std::string>();
  require(given.is_array() || given.is_object(), where,
          ": 'chat_template' is neither a string nor a list of templates");
  std::string names;
  for (const auto& [key, item] : given.items()) {
    const bool named = given.is_array();
    const std::string found = named ? json_get<std::string>(item, "name", where) : key;
    if (found == name)
      return named ? json_get<std::string>(item, "template", where) : item.get<std::string>();
    names += (names.empty() ? "" : ", ") + found;
  }
  fail(where, ": there is no chat template '", name, "'; it has ", names);
}

std::string token_text_of(const Json& token) {
  if (token.is_string()) return token.get<std::string>();
  if (token.is_object() && token.contains("content") && token["content"].is_string()) {
    return token["content"].get<std::string>();
  }
  return {};
}

}  // namespace

ChatFormat read_chat_format(const std::string& folder, const std::string& name) {
  const fs::path base(folder);
  const fs::path config_path = base / "tokenizer_config.json", jinja = base / "chat_template.jinja";
  const fs::path named = base / "additional_chat_templates" / (name + ".jinja"),
                 json = base / "chat_template.json";
  require(name.find_first_of("/\\") == name.npos, "the name of a chat template, '", name,
          "', is no plain name");
  const Json config = read_if_there(config_path);
  ChatFormat format;
  for (const Json& file : {config, read_if_there(base / "special_tokens_map.json")}) {
    if (!file.is_object()) continue;
    for (const auto& [key, value] : file.items()) {
      if (!key.ends_with("_token") || format.variables.contains(key)) continue;
      if (const std::string text = token_text_of(value); !text.empty()) format.variables[key] = text;
    }
  }
  const auto take = [&](std::string source, const fs::path& path) {
    format.chat_template = ChatTemplate::parse(std::move(source), path.string());
  };
  const auto has = [](const Json& object) {
    return object.is_object() && object.contains("chat_template") && !object["chat_template"].is_null();
  };
  if (name != "default" && fs::exists(named)) {
    take(read_file(named.string(), kMaxTemplate), named);
  } else if (name == "default" && fs::exists(jinja)) {
    take(read_file(jinja.string(), kMaxTemplate), jinja);
  } else if (has(config)) {
    take(chosen(config["chat_template"], name, config_path.string()), config_path);
  } else if (const Json whole = read_if_there(json); has(whole)) {
    take(chosen(whole["chat_template"], name, json.string()), json);
  }
  return format;
}

}  // namespace lathe
