#include "checkpoints/exporters/gguf_tokenizer.h"

#include <algorithm>
#include <cctype>
#include <unordered_map>

#include "checkpoints/bundle/stop_tokens.h"
#include "data/tokenizers/byte_alphabet.h"
#include "data/tokenizers/normalizers.h"
#include "data/tokenizers/patterns.h"
#include "data/tokenizers/sentencepiece_model.h"

namespace lathe {

namespace {

// GGUF's token types, which are SentencePiece's.
enum class TokenType { Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Unused = 5, Byte = 6 };

struct Token {
  std::string text;
  TokenType type = TokenType::Unused;
  double score = 0;
};

const std::string* file_of(const std::vector<TokenizerFile>& files, const char* name) {
  for (const TokenizerFile& file : files)
    if (file.name == name) return &file.content;
  return nullptr;
}

std::vector<Token> read_tokens(const Json& json, std::int64_t rows, const std::string& where) {
  std::vector<Token> tokens(static_cast<std::size_t>(rows));
  const auto at = [&](const Json& id) -> Token& {
    const auto index = id.get<std::int64_t>();
    require(index >= 0 && index < rows, where, ": token id ", index, " has no row in the embedding of ",
            rows);
    return tokens[static_cast<std::size_t>(index)];
  };
  for (const auto& [text, id] : json.at("model").at("vocab").items()) at(id) = {text, TokenType::Normal};
  const Json added = json.contains("added_tokens") ? json["added_tokens"] : Json::array();
  for (const Json& entry : added) {
    const bool special = json_get_or<bool>(entry, "special", false, where);
    at(entry.at("id")) = {json_get<std::string>(entry, "content", where),
                          special ? TokenType::Control : TokenType::UserDefined};
  }
  for (std::size_t i = 0; i < tokens.size(); ++i)
    if (tokens[i].type == TokenType::Unused) tokens[i].text = cat("[PAD", i, "]");
  return tokens;
}

bool is_type(const Json& value, const char* type) {
  return value.is_object() && value.value("type", std::string()) == type;
}

// llama.cpp's name for a byte-level pre-tokenizer.
std::string pre_tokenizer_name(const Json& json, const std::string& where) {
  const Json pre = json.value("pre_tokenizer", Json());
  const Json steps = is_type(pre, "Sequence") ? pre.at("pretokenizers") : Json::array({pre});
  const auto fail_here = [&]() {
    fail(where, ": llama.cpp has no name for the pre-tokenizer ", pre.dump().substr(0, 300),
         "; it has one for those of GPT-2, Llama 3, Qwen 2 and SmolLM");
  };
  const Json& last = steps.back();
  if (!is_type(last, "ByteLevel") || last.value("add_prefix_space", true)) fail_here();
  const bool own_pattern = last.value("use_regex", true);
  if (steps.size() == 1 && own_pattern) return "gpt-2";
  if (steps.size() != 2) fail_here();
  const Json& first = steps.front();
  if (is_type(first, "Digits") && first.value("individual_digits", false) && own_pattern) return "smollm";
  if (is_type(first, "Split") && !own_pattern && first.at("pattern").contains("Regex") &&
      first.value("behavior", std::string()) == "Isolated" && !first.value("invert", false)) {
    const auto known = known_pattern(first["pattern"]["Regex"].get<std::string>());
    if (known == KnownPattern::Llama3) return "llama-bpe";
    if (known == KnownPattern::Qwen2) return "qwen2";
    if (known == KnownPattern::Gpt2) return "gpt-2";
  }
  fail_here();
  return {};
}

// "llama-bpe" takes a piece that is a token whole, the others go by merges: ids could differ where the
// tokenizer does not.
void check_merges(const Tokenizer& tokenizer, const Json& model, const std::string& pre,
                  const std::string& where) {
  const bool whole = pre == "llama-bpe", here = json_get_or<bool>(model, "ignore_merges", false, where);
  if (whole == here) return;
  require(!here, where, ": 'ignore_merges' with the pre-tokenizer ", pre, " has no name in llama.cpp");
  for (const auto& [text, id] : model.at("vocab").items()) {
    const auto bytes = from_byte_alphabet(text);
    if (!bytes || bytes->empty() || match_end(KnownPattern::Llama3, *bytes, 0) < bytes->size()) continue;
    const bool same = tokenizer.ids(*bytes) == std::vector<TokenId>{id.get<TokenId>()};
    require(same || tokenizer.is_special(id.get<TokenId>()), where, ": llama.cpp would take the piece '",
            *bytes, "' as one token, this tokenizer cuts it");
  }
}

void add_merges(const Json& model, GgufMetadata& metadata) {
  Json merges = Json::array();
  for (const Json& merge : model.at("merges"))
    merges.push_back(merge.is_string()
                         ? merge
                         : Json(merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>()));
  metadata.emplace_back("tokenizer.ggml.merges", GgufValue::array(GgufKind::String, std::move(merges)));
}

// SentencePiece's scores where the file is there, else the rank of the first merge that makes a token.
void add_scores(const Json& model, const std::vector<TokenizerFile>& files, std::vector<Token>& tokens,
                const std::string& where) {
  std::unordered_map<std::string, std::size_t> ids;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    tokens[id].score = -1e4 - static_cast<double>(model.at("merges").size());  // no merge makes it
    ids.emplace(tokens[id].text, id);
  }
  if (const std::string* file = file_of(files, "tokenizer.model")) {
    const SentencePieceModel pieces = parse_sentencepiece(*file, where + ": tokenizer.model");
    for (const SentencePiece& piece : pieces.pieces)
      if (const auto found = ids.find(piece.text); found != ids.end())
        tokens[found->second].score = piece.score;
    return;
  }
  double rank = 0;
  std::vector<bool> seen(tokens.size(), false);
  for (const Json& merge : model.at("merges")) {
    const auto text = merge.is_string() ? merge.get<std::string>() : "";
    const std::size_t space = text.find(' ');
    const std::string made = merge.is_string()
                                 ? text.substr(0, space) + text.substr(space + 1)
                                 : merge.at(0).get<std::string>() + merge.at(1).get<std::string>();
    const auto found = ids.find(made);
    if (found != ids.end() && !seen[found->second]) {
      seen[found->second] = true;
      tokens[found->second].score = -rank;
    }
    ++rank;
  }
}

bool is_byte_piece(const std::string& text) {
  return text.size() == 6 && text.starts_with("<0x") && text.ends_with(">") &&
         std::isxdigit(static_cast<unsigned char>(text[3])) &&
         std::isxdigit(static_cast<unsigned char>(text[4]));
}

bool holds(const Json& value, const char* type, const char* key, const Json& wanted) {
  if (is_type(value, type)) return value.value(key, Json()) == wanted;
  for (const char* list : {"normalizers", "pretokenizers"})
    if (value.is_object() && value.contains(list))
      for (const Json& step : value[list])
        if (holds(step, type, key, wanted)) return true;
  return false;
}

// Whether a space is put before a text: Llama 2's normalizer, or a Metaspace that is not told otherwise.
bool adds_space_prefix(const Json& json) {
  if (holds(json.value("normalizer", Json()), "Prepend", "prepend", "\xE2\x96\x81")) return true;
  const Json pre = json.value("pre_tokenizer", Json());
  return holds(pre, "Metaspace", "prepend_scheme", "first") ||
         holds(pre, "Metaspace", "prepend_scheme", "always");
}

void add_byte_level(const Bundle& bundle, const Json& json, GgufMetadata& metadata,
                    const std::string& where) {
  const std::string pre = pre_tokenizer_name(json, where);
  check_merges(*bundle.tokenizer, json["model"], pre, where);
  metadata.emplace_back("tokenizer.ggml.model", GgufValue::string("gpt2"));
  metadata.emplace_back("tokenizer.ggml.pre", GgufValue::string(pre));
  add_merges(json["model"], metadata);
}

void add_sentencepiece(const Bundle& bundle, const Json& json, std::vector<Token>& tokens,
                       GgufMetadata& metadata, const std::string& where) {
  require(!holds(json.value("normalizer", Json()), "Replace", "pattern", Json{{"Regex", kEndOfText}}), where,
          ": llama.cpp puts a space before a text, not behind it as this tokenizer does "
          "(SentencePiece's treat_whitespace_as_suffix); export huggingface");
  add_scores(json["model"], bundle.tokenizer->files(), tokens, where);
  const auto unk = bundle.tokenizer->special().unk;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (is_byte_piece(tokens[id].text)) tokens[id].type = TokenType::Byte;
    if (unk && id == *unk) tokens[id].type = TokenType::Unknown;
  }
  metadata.emplace_back("tokenizer.ggml.model", GgufValue::string("llama"));
  metadata.emplace_back("tokenizer.ggml.pre", GgufValue::string("default"));
  Json scores = Json::array();
  for (const Token& token : tokens) scores.push_back(static_cast<float>(token.score));
  metadata.emplace_back("tokenizer.ggml.scores", GgufValue::array(GgufKind::F32, std::move(scores)));
  metadata.emplace_back("tokenizer.ggml.add_space_prefix", GgufValue::boolean(adds_space_prefix(json)));
}

void add_tables(const std::vector<Token>& tokens, GgufMetadata& metadata) {
  Json texts = Json::array(), types = Json::array();
  for (const Token& token : tokens) {
    texts.push_back(token.text);
    types.push_back(static_cast<std::int32_t>(token.type));
  }
  metadata.emplace_back("tokenizer.ggml.tokens", GgufValue::array(GgufKind::String, std::move(texts)));
  metadata.emplace_back("tokenizer.ggml.token_type", GgufValue::array(GgufKind::I32, std::move(types)));
}

void add_special(const Bundle& bundle, GgufMetadata& metadata) {
  const Tokenizer& tokenizer = *bundle.tokenizer;
  const SpecialTokens special = tokenizer.special();
  const auto id = [&](const char* key, std::optional<TokenId> token) {
    if (token) metadata.emplace_back(cat("tokenizer.ggml.", key, "_token_id"), GgufValue::u32(*token));
  };
  id("bos", special.bos);
  id("eos", special.eos);
  id("unknown", special.unk);
  id("padding", special.pad);
  // The end of a turn, where it is not the end of a text: the template's, else another that the folder names.
  const std::optional<TokenId> end = turn_end_of(bundle);
  std::vector<TokenId> stops = stop_ids_of(bundle, end);
  if (end) stops.insert(stops.begin(), *end);
  for (const TokenId stop : stops)
    if (!special.eos || stop != *special.eos) {
      id("eot", stop);
      break;
    }
  const std::vector<TokenId> ids = tokenizer.encode("a", {.add_special = true}).ids;
  metadata.emplace_back("tokenizer.ggml.add_bos_token",
                        GgufValue::boolean(special.bos && !ids.empty() && ids.front() == *special.bos));
  metadata.emplace_back("tokenizer.ggml.add_eos_token",
                        GgufValue::boolean(special.eos && !ids.empty() && ids.back() == *special.eos));
}

}  // namespace

std::string chat_template_of(const Tokenizer& tokenizer) {
  const std::vector<TokenizerFile> files = tokenizer.files();
  if (const std::string* file = file_of(files, "chat_template.jinja")) return *file;
  const std::string* text = file_of(files, "tokenizer_config.json");
  if (!text) return {};
  const Json config = parse_json(*text, "tokenizer_config.json");
  const Json chat = config.value("chat_template", Json());
  if (chat.is_string()) return chat.get<std::string>();
  if (chat.is_array())  // several, by name
    for (const Json& entry : chat)
      if (entry.value("name", std::string()) == "default") return entry.value("template", std::string());
  return {};
}

std::vector<TokenizerFile> tokenizer_files_of(const Tokenizer& tokenizer) {
  std::vector<TokenizerFile> files = tokenizer.files();
  const std::string chat = chat_template_of(tokenizer);
  if (chat.empty()) return files;
  if (!file_of(files, "chat_template.jinja")) files.push_back({"chat_template.jinja", chat});
  for (TokenizerFile& file : files) {
    if (file.name != "tokenizer_config.json") continue;
    Json config = parse_json(file.content, file.name);
    if (!config.value("chat_template", Json()).is_null()) continue;
    config["chat_template"] = chat;
    file.content = config.dump(2) + "\n";
  }
  return files;
}

void add_gguf_tokenizer(const Bundle& bundle, GgufMetadata& metadata) {
  const std::string where = bundle.origin.empty() ? "tokenizer" : bundle.origin;
  require(bundle.tokenizer != nullptr, where, ": has no tokenizer; a GGUF file needs one");
  const std::vector<TokenizerFile> files = bundle.tokenizer->files();
  const std::string* file = file_of(files, "tokenizer.json");
  require(file != nullptr, where,
          ": llama.cpp runs no SentencePiece model of whole words; export huggingface");
  const Json json = parse_json(*file, where + ": tokenizer.json");
  const Json& model = json.at("model");
  require(model.contains("merges"), where,
          ": llama.cpp runs BPE tokenizers with these models only, this one is ",
          model.value("type", std::string("another")),
          "; train with tokenizer: {train: byte_bpe}, or export huggingface");
  std::vector<Token> tokens = read_tokens(json, bundle.spec.vocab_size, where);
  if (json_get_or<bool>(model, "byte_fallback", false, where))
    add_sentencepiece(bundle, json, tokens, metadata, where);
  else
    add_byte_level(bundle, json, metadata, where);
  add_tables(tokens, metadata);
  add_special(bundle, metadata);
  const std::string chat = chat_template_of(*bundle.tokenizer);
  if (!chat.empty()) metadata.emplace_back("tokenizer.chat_template", GgufValue::string(chat));
}

}  // namespace lathe
