#include "data/templates/template_folder.h"

#include <filesystem>
#include <set>

#include "data/io/file_system.h"
#include "data/tokenizers/sentencepiece_model.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kMaxTemplate = std::size_t{1} << 20, kMaxModel = std::size_t{256} << 20;

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

// What transformers' classes call their tokens where no file says so.
Json tokens_of_class(const std::string& name) {
  const auto is = [&](const char* start) { return name.starts_with(start); };
  if (is("Llama") || is("CodeLlama"))
    return {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}};
  if (is("Gemma"))
    return {{"bos_token", "<bos>"}, {"eos_token", "<eos>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}};
  const char* end = "<|endoftext|>";
  if (is("GPT2")) return {{"bos_token", end}, {"eos_token", end}, {"unk_token", end}};
  if (is("Qwen2")) return {{"eos_token", end}, {"unk_token", end}, {"pad_token", end}};
  return Json::object();
}

// The control tokens of a folder that has a SentencePiece model alone.
Json tokens_of_model(const fs::path& folder) {
  const fs::path path = folder / "tokenizer.model";
  Json tokens = Json::object();
  if (!fs::exists(path) || fs::exists(folder / "tokenizer.json")) return tokens;
  const SentencePieceModel model = parse_sentencepiece(read_file(path.string(), kMaxModel), path.string());
  for (const SentencePiece& piece : model.pieces) {
    if (piece.type == PieceType::Unknown) tokens["unk_token"] = piece.text;
    if (piece.type != PieceType::Control) continue;
    if (piece.text == model.bos) tokens["bos_token"] = piece.text;
    if (piece.text == model.eos) tokens["eos_token"] = piece.text;
    if (piece.text == model.pad) tokens["pad_token"] = piece.text;
  }
  return tokens;
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
  std::set<std::string> mentioned;  // null takes a token away
  for (const Json& file : {config, read_if_there(base / "special_tokens_map.json")}) {
    if (!file.is_object()) continue;
    for (const auto& [key, value] : file.items()) {
      if (!key.ends_with("_token") || format.variables.contains(key)) continue;
      mentioned.insert(key);
      if (const std::string text = token_text_of(value); !text.empty()) format.variables[key] = text;
    }
  }
  std::string type;
  if (config.is_object())
    type = json_get_or<std::string>(config, "tokenizer_class", "", config_path.string());
  const Json usual = type.empty() ? tokens_of_model(base) : tokens_of_class(type);
  for (const auto& [key, value] : usual.items())
    if (!mentioned.contains(key)) format.variables[key] = value;
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

ChatFormat chat_format_of(const Tokenizer& tokenizer) {
  ChatFormat format;
  Json config;
  std::string jinja;
  for (const TokenizerFile& file : tokenizer.files()) {
    if (file.name == "tokenizer_config.json") config = parse_json(file.content, file.name);
    if (file.name == "chat_template.jinja") jinja = file.content;
  }
  if (config.is_object()) {
    for (const auto& [key, value] : config.items())
      if (const std::string text = token_text_of(value); key.ends_with("_token") && !text.empty())
        format.variables[key] = text;
    if (const Json given = config.value("chat_template", Json()); jinja.empty() && !given.is_null())
      jinja = chosen(given, "default", "tokenizer_config.json");
  }
  const SpecialTokens special = tokenizer.special();
  const auto add = [&](const char* key, const std::optional<TokenId>& id) {
    if (id && !format.variables.contains(key)) format.variables[key] = tokenizer.token_text(*id);
  };
  add("bos_token", special.bos);
  add("eos_token", special.eos);
  add("pad_token", special.pad);
  add("unk_token", special.unk);
  if (!jinja.empty()) format.chat_template = ChatTemplate::parse(jinja, "the tokenizer's chat template");
  return format;
}

}  // namespace lathe
