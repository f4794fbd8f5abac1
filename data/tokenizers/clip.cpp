#include "data/tokenizers/clip.h"
#include "data/tokenizers/companions.h"

#include <algorithm>
#include <filesystem>

#include "data/io/file_system.h"
#include "data/tokenizers/load.h"
#include "data/tokenizers/tokenizer_json.h"

namespace lathe {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kMaxBytes = 256 << 20;
constexpr char kPattern[] =
    R"(<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";
constexpr char kVersion[] = "#version";
constexpr std::size_t kUsualLength = 77;

Json byte_level(bool prefix) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"trim_offsets", true}, {"use_regex", true}};
}

Json control_token(const Json& id, const std::string& content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

Json read_merge_lines(const std::string& text) {
  Json merges = Json::array();
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    const bool header = at == 0 && line.rfind(kVersion, 0) == 0;
    if (!line.empty() && !header) merges.push_back(std::move(line));
    at = end + 1;
  }
  return merges;
}

std::string merge_lines(const Json& merges) {
  std::string text = std::string(kVersion) + ": 0.2\n";
  for (const Json& merge : merges) {
    text += merge.is_string() ? merge.get<std::string>()
                              : merge[0].get<std::string>() + " " + merge[1].get<std::string>();
    text += '\n';
  }
  return text;
}

// Id of an added token or of one in the vocabulary; null when there is none.
Json find_id(const Json& json, const std::string& token) {
  if (json.contains("added_tokens")) {
    for (const Json& entry : json["added_tokens"]) {
      if (entry["content"] == token) return entry["id"];
    }
  }
  const Json& vocabulary = json["model"]["vocab"];
  return vocabulary.contains(token) ? vocabulary[token] : Json(nullptr);
}

// The class's own vocabulary file: by id, its two control tokens included.
std::string vocabulary_file(const Json& json) {
  std::vector<std::pair<TokenId, std::string>> tokens;
  const Json& vocabulary = json["model"]["vocab"];
  for (const auto& [text, id] : vocabulary.get_ref<const Json::object_t&>())
    tokens.emplace_back(id.get<TokenId>(), text);
  for (const char* name : {kClipBegin, kClipEnd}) {
    if (!vocabulary.contains(name)) tokens.emplace_back(find_id(json, name).get<TokenId>(), name);
  }
  std::sort(tokens.begin(), tokens.end());
  Json sorted = Json::object();
  for (auto& [id, text] : tokens) append_key(sorted, std::move(text), id);
  return sorted.dump() + "\n";
}

Json special_names() {
  Json names = {{"bos_token", kClipBegin}};
  for (const char* key : {"eos_token", "pad_token", "unk_token"}) names[key] = kClipEnd;
  return names;
}

bool has_file(const Companions& companions, const std::string& name) {
  return std::any_of(companions.files.begin(), companions.files.end(),
                     [&](const TokenizerFile& file) { return file.name == name; });
}

bool names(const Json& file, const std::string& key) {
  return file.is_object() && file.contains(key) && !file.at(key).is_null();
}

Json class_config(std::size_t model_max_length) {
  Json config = {
      {"tokenizer_class", "CLIPTokenizer"}, {"model_max_length", model_max_length},  {"do_lower_case", true},
      {"add_prefix_space", false},          {"clean_up_tokenization_spaces", false}, {"errors", "replace"}};
  config.update(special_names());
  return config;
}

}  // namespace

Json clip_normalizer() {
  const Json spaces = {{"type", "Replace"}, {"pattern", {{"Regex", R"(\s+)"}}}, {"content", " "}};
  return {{"type", "Sequence"},
          {"normalizers", Json::array({Json{{"type", "NFC"}}, spaces, Json{{"type", "Lowercase"}}})}};
}

Json clip_pre_tokenizer() {
  const Json split = {
      {"type", "Split"}, {"pattern", {{"Regex", kPattern}}}, {"behavior", "Removed"}, {"invert", true}};
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level(false)})}};
}

std::string clip_tokenizer_json(Json vocabulary, Json merges, const std::string& unk,
                                const std::string& where) {
  for (const char* name : {kClipBegin, kClipEnd}) {
    require(vocabulary.is_object() && vocabulary.contains(name), where,
            ": not a vocabulary of CLIP's: it lacks '", name, "'");
  }
  const Json begin = vocabulary[kClipBegin], end = vocabulary[kClipEnd];
  const Json processor = {{"type", "RobertaProcessing"},
                          {"sep", Json::array({kClipEnd, end})},
                          {"cls", Json::array({kClipBegin, begin})},
                          {"trim_offsets", false},
                          {"add_prefix_space", false}};
  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", unk},
                {"continuing_subword_prefix", ""},
                {"end_of_word_suffix", kWordSuffix},
                {"fuse_unk", false},
                {"byte_fallback", false},
                {"ignore_merges", false}};
  append_key(model, "vocab", std::move(vocabulary));
  append_key(model, "merges", std::move(merges));
  Json json = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", Json::array({control_token(begin, kClipBegin), control_token(end, kClipEnd)})},
      {"normalizer", clip_normalizer()},
      {"pre_tokenizer", clip_pre_tokenizer()},
      {"post_processor", processor},
      {"decoder", byte_level(true)}};
  append_key(json, "model", std::move(model));
  return json.dump(1) + "\n";
}

bool is_clip(const Json& json) {
  const Json& model = json["model"];
  return model.contains("merges") && model.contains("end_of_word_suffix") &&
         model["end_of_word_suffix"] == kWordSuffix && find_id(json, kClipBegin).is_number_unsigned() &&
         find_id(json, kClipEnd).is_number_unsigned();
}

void complete_clip(const Json& json, Companions& companions) {
  const Json defaults = special_names();
  if (companions.config.is_null()) {
    companions.config = class_config(kUsualLength);
    for (const auto& [key, token] : defaults.items()) {
      if (names(companions.map, key)) companions.config[key] = companions.map[key];
    }
    companions.files.push_back({"tokenizer_config.json", companions.config.dump(2) + "\n"});
  }
  for (const auto& [key, token] : defaults.items()) {
    if (!names(companions.config, key) && !names(companions.map, key)) companions.config[key] = token;
  }
  if (!has_file(companions, "vocab.json")) companions.files.push_back({"vocab.json", vocabulary_file(json)});
  if (!has_file(companions, "merges.txt"))
    companions.files.push_back({"merges.txt", merge_lines(json["model"]["merges"])});
}

std::unique_ptr<Tokenizer> tokenizer_from_vocabulary(const std::string& folder) {
  const Companions companions = read_companions(folder);
  const std::string where = (fs::path(folder) / "vocab.json").string();
  if (companions.config.is_object()) {
    const auto name = json_get_or<std::string>(companions.config, "tokenizer_class", "CLIPTokenizer", folder);
    require(name == "CLIPTokenizer" || name == "CLIPTokenizerFast", folder,
            ": vocab.json and merges.txt of the class '", name,
            "'; without a tokenizer.json only CLIPTokenizer's are read; convert it with transformers' "
            "save_pretrained");
  }
  std::string unk = kClipEnd;
  for (const Json* file : {&companions.map, &companions.config}) {
    if (!names(*file, "unk_token")) continue;
    const Json& value = file->at("unk_token");
    unk = value.is_object() ? json_get<std::string>(value, "content", folder)
                            : json_get<std::string>(*file, "unk_token", folder);
  }
  Json vocabulary = parse_json(read_file(where, kMaxBytes), where);
  const std::string merges = read_file((fs::path(folder) / "merges.txt").string(), kMaxBytes);
  return tokenizer_from_json(clip_tokenizer_json(std::move(vocabulary), read_merge_lines(merges), unk, where),
                             companions, where);
}

Companions clip_companions(std::size_t model_max_length) {
  Companions made;
  made.config = class_config(model_max_length);
  made.map = special_names();
  made.files.push_back({"tokenizer_config.json", made.config.dump(2) + "\n"});
  made.files.push_back({"special_tokens_map.json", made.map.dump(2) + "\n"});
  return made;
}

namespace {

// Behind the first token of a word of several vectors stand the others: <wug>, <wug>_1, <wug>_2 ...
// (diffusers writes them into the prompt). CLIP's own tokens have no such followers: a word and its digits
// are parted.
std::vector<TokenId> with_followers(const Tokenizer& tokenizer, const std::vector<TokenId>& words) {
  std::vector<TokenId> all;
  for (const TokenId id : words) {
    all.push_back(id);
    const std::string word = tokenizer.token_text(id);
    for (int number = 1;; ++number) {
      const auto next = tokenizer.token_id(cat(word, "_", number));
      if (!next) break;
      all.push_back(*next);
    }
  }
  return all;
}

}  // namespace

PromptIds prompt_ids(const Tokenizer& tokenizer, std::string_view text, std::size_t length) {
  const SpecialTokens special = tokenizer.special();
  require(special.bos && special.eos && special.pad,
          "the text encoder's tokenizer names no begin, end or padding token");
  require(length >= 2, "a prompt needs room for its begin and its end token; found a length of ", length);
  const std::vector<TokenId> words = with_followers(tokenizer, tokenizer.ids(text));
  const std::size_t kept = std::min(words.size(), length - 2);
  PromptIds row{{*special.bos}, words.size() + 2};
  row.ids.insert(row.ids.end(), words.begin(), words.begin() + static_cast<std::ptrdiff_t>(kept));
  row.ids.push_back(*special.eos);
  row.ids.resize(length, *special.pad);
  return row;
}

}  // namespace lathe
