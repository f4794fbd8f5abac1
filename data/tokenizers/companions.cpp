#include "data/tokenizers/companions.h"

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <set>

#include "data/io/file_system.h"

namespace lathe {
namespace {

constexpr std::size_t kMaxBytes = 64 << 20;

std::optional<TokenId> find_id(const TokenizerParts& parts, const std::string& text) {
  for (const AddedToken& token : parts.added) {
    if (token.content == text) return token.id;
  }
  return parts.model->vocabulary().find(text);
}

std::string find_text(const TokenizerParts& parts, TokenId id) {
  for (const AddedToken& token : parts.added) {
    if (token.id == id) return token.content;
  }
  return parts.model->vocabulary().has(id) ? parts.model->vocabulary().text(id) : std::string();
}

// "eos_token": "</s>" or {"content": "</s>", ...} or null.
std::string token_name(const Json& object, const char* key) {
  if (!object.is_object() || !object.contains(key)) return {};
  const Json& value = object.at(key);
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string()) {
    return value["content"].get<std::string>();
  }
  return {};
}

std::optional<TokenId> by_companions(const Companions& companions, const char* role,
                                     const TokenizerParts& parts, const std::string& where) {
  const std::string key = std::string(role) + "_token";
  for (const Json* file : {&companions.config, &companions.map}) {
    const std::string name = token_name(*file, key.c_str());
    if (name.empty()) continue;
    const auto id = find_id(parts, name);
    if (id) return id;
    // Slow tokenizers name an unknown token that their vocabulary lacks; nobody ever needs its id.
    require(std::string(role) == "unk" || std::string(role) == "pad", where, ": '", key, "' is '", name,
            "', which is not in the vocabulary");
  }
  const std::string id_key = key + "_id";
  if (!companions.generation.is_object() || !companions.generation.contains(id_key)) return std::nullopt;
  Json id = companions.generation.at(id_key);
  if (id.is_array() && !id.empty()) id = id.front();
  if (!id.is_number_integer()) return std::nullopt;
  const auto value = id.get<std::int64_t>();
  require(value >= 0 && value < (std::int64_t{1} << 24), where, ": generation_config.json: '", id_key,
          "' is ", value);
  return static_cast<TokenId>(value);
}

std::optional<TokenId> by_name(const TokenizerParts& parts, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    for (const AddedToken& token : parts.added) {
      if (token.special && token.content == name) return token.id;
    }
  }
  return std::nullopt;
}

// chat_template.json, where processors of pictures and texts keep theirs: {"chat_template": "..."}.
std::string template_of_processor(const Json& file) {
  if (!file.is_object()) return {};
  const Json chat = file.value("chat_template", Json());
  return chat.is_string() ? chat.get<std::string>() : std::string();
}

std::uint64_t id_of(const std::string& text, const std::string& where) {
  const bool digits = !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == text.npos;
  require(digits, where, ": tokenizer_config.json: added_tokens_decoder names the id '", text.substr(0, 40),
          "'");
  return std::stoull(text);
}

// The texts of all control tokens that the files name.
std::set<std::string> special_names(const Companions& companions) {
  std::set<std::string> names;
  const auto add = [&](const Json& value) {
    const std::string name = token_name(Json{{"token", value}}, "token");
    if (!name.empty()) names.insert(name);
  };
  for (const Json* file : {&companions.config, &companions.map}) {
    if (!file->is_object()) continue;
    for (const auto& [key, value] : file->items()) {
      if (key.ends_with("_token")) add(value);
      if (key == "additional_special_tokens" && value.is_array())
        for (const Json& each : value) add(each);
    }
  }
  return names;
}

}  // namespace

Companions read_companions(const std::string& folder) {
  Companions found;
  const auto read = [&](const char* name, bool ours) {
    const std::string path = (std::filesystem::path(folder) / name).string();
    if (!std::filesystem::exists(path)) return Json(nullptr);
    const std::string content = read_file(path, kMaxBytes);
    if (ours) found.files.push_back({name, content});
    return parse_json(content, path);
  };
  found.config = read("tokenizer_config.json", true);
  found.map = read("special_tokens_map.json", true);
  found.generation = read("generation_config.json", false);
  found.added = read("added_tokens.json", false);
  const std::string jinja = (std::filesystem::path(folder) / "chat_template.jinja").string();
  if (std::filesystem::exists(jinja))
    found.files.push_back({"chat_template.jinja", read_file(jinja, kMaxBytes)});
  else if (const std::string chat = template_of_processor(read("chat_template.json", false));
           !chat.empty() && !(found.config.is_object() && found.config.contains("chat_template")))
    found.files.push_back({"chat_template.jinja", chat});
  return found;
}

bool add_named_tokens(const Companions& companions, Json& added, const std::string& where) {
  std::set<std::string> known;
  for (const Json& entry : added) known.insert(json_get<std::string>(entry, "content", where));
  std::map<std::uint64_t, Json> named;  // by id
  const Json decoder =
      companions.config.is_object() ? companions.config.value("added_tokens_decoder", Json()) : Json();
  if (decoder.is_object()) {
    for (const auto& [id, entry] : decoder.items()) named[id_of(id, where)] = entry;
  } else if (companions.added.is_object()) {
    const std::set<std::string> special = special_names(companions);
    for (const auto& [content, id] : companions.added.items()) {
      const bool control = special.contains(content);
      require(id.is_number_unsigned(), where, ": added_tokens.json: '", content, "' has no id");
      named[id.get<std::uint64_t>()] = {{"content", content}, {"special", control}, {"normalized", !control}};
    }
  }
  bool any = false;
  for (auto& [id, entry] : named) {
    if (!known.insert(json_get<std::string>(entry, "content", where)).second) continue;
    Json whole = {{"id", id}};
    for (const char* key : {"content", "single_word", "lstrip", "rstrip", "normalized", "special"})
      whole[key] = entry.value(key, Json(false));
    added.push_back(std::move(whole));
    any = true;
  }
  return any;
}

void find_special_tokens(const Companions& companions, TokenizerParts& parts, const std::string& where) {
  SpecialTokens& special = parts.special;
  const auto find = [&](std::optional<TokenId>& id, const char* role,
                        std::initializer_list<const char*> names) {
    if (const auto named = by_companions(companions, role, parts, where)) id = named;
    if (!id && companions.config.is_null() && companions.map.is_null()) id = by_name(parts, names);
  };
  find(special.bos, "bos", {"<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>"});
  find(special.eos, "eos", {"</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>"});
  find(special.pad, "pad", {"<pad>", "<|pad|>"});
  find(special.unk, "unk", {"<unk>"});
}

void name_special_tokens(const TokenizerParts& parts, Json& config) {
  const auto name = [&](const char* key, const std::optional<TokenId>& id) {
    if (id && !config.contains(key)) config[key] = find_text(parts, *id);
  };
  name("bos_token", parts.special.bos);
  name("eos_token", parts.special.eos);
  name("pad_token", parts.special.pad);
  name("unk_token", parts.special.unk);
}

std::string make_tokenizer_config(const TokenizerParts& parts) {
  Json config = Json::object();
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  config["add_prefix_space"] = false;
  config["clean_up_tokenization_spaces"] = false;
  name_special_tokens(parts, config);
  return config.dump(2) + "\n";
}

}  // namespace lathe
