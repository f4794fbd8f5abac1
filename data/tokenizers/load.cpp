#include <algorithm>
#include <filesystem>

#include "data/io/file_system.h"
#include "data/tokenizers/clip.h"
#include "data/tokenizers/companions.h"
#include "data/tokenizers/load.h"
#include "data/tokenizers/sentencepiece_model.h"
#include "data/tokenizers/tokenizer_json.h"

namespace lathe {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kMaxBytes = 256 << 20;

bool is_vocabulary_folder(const std::string& path) {
  if (!fs::is_directory(path)) return false;
  for (const char* name : {"tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"}) {
    if (fs::exists(fs::path(path) / name)) return false;
  }
  return fs::exists(fs::path(path) / "vocab.json") && fs::exists(fs::path(path) / "merges.txt");
}

bool has_file(const TokenizerParts& parts, const std::string& name) {
  for (const TokenizerFile& file : parts.files) {
    if (file.name == name) return true;
  }
  return false;
}

// The beginning of a file of lines, which no SentencePiece model is.
bool is_readable_text(const std::string& content) {
  const std::string_view start = std::string_view(content).substr(0, 256);
  return !start.empty() && std::all_of(start.begin(), start.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\r' || c == '\t';
  });
}

std::string find_tokenizer(const std::string& path) {
  if (!fs::exists(path))
    fail_usage(path, ": no such file or folder; wanted a tokenizer.json, a SentencePiece .model or a folder");
  if (!fs::is_directory(path)) return path;
  for (const char* name : {"tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"}) {
    const fs::path file = fs::path(path) / name;
    if (fs::exists(file)) return file.string();
  }
  fail(path,
       ": no tokenizer here; wanted tokenizer.json, tokenizer.model or CLIP's vocab.json and merges.txt");
}

}  // namespace

std::unique_ptr<Tokenizer> finish_tokenizer(TokenizerParts parts, const Companions& companions,
                                            const std::string& where) {
  find_special_tokens(companions, parts, where);
  parts.files.insert(parts.files.end(), companions.files.begin(), companions.files.end());
  if (!has_file(parts, "tokenizer_config.json")) {
    parts.files.push_back({"tokenizer_config.json", make_tokenizer_config(parts)});
  }
  return std::make_unique<PipelineTokenizer>(std::move(parts));
}

std::unique_ptr<Tokenizer> tokenizer_from_json(std::string content, const Companions& companions,
                                               const std::string& where) {
  Json json = parse_json(content, where);
  if (json.is_object()) {
    Json added = json.value("added_tokens", Json::array());
    if (added.is_null()) added = Json::array();
    if (add_named_tokens(companions, added, where)) {
      json["added_tokens"] = std::move(added);
      content = json.dump(2) + "\n";
    }
  }
  TokenizerParts parts = read_tokenizer_json(json, where);
  parts.files.push_back({"tokenizer.json", std::move(content)});
  if (!is_clip(json)) return finish_tokenizer(std::move(parts), companions, where);
  Companions completed = companions;
  complete_clip(json, completed);
  return finish_tokenizer(std::move(parts), completed, where);
}

namespace {

// What the Python classes for SentencePiece models put around a text, by tokenizer_config.json.
void add_around(const Json& config, TokenizerParts& parts) {
  if (!config.is_object()) return;
  const auto name = config.value("tokenizer_class", std::string());
  const bool llama = name.rfind("Llama", 0) == 0 || name.rfind("Gemma", 0) == 0;
  const auto flag = [&](const char* key, bool otherwise) {
    return config.contains(key) && config.at(key).is_boolean() ? config.at(key).get<bool>() : otherwise;
  };
  if (parts.special.bos && flag("add_bos_token", llama)) parts.before.push_back(*parts.special.bos);
  if (parts.special.eos && flag("add_eos_token", name.rfind("T5", 0) == 0))
    parts.after.push_back(*parts.special.eos);
}

// The config that goes with the tokenizer.json made from a .model: its own, but of the class that reads that
// file, which has no names of its own for the special tokens.
void use_fast_class(Companions& companions, const TokenizerParts& parts) {
  if (!companions.config.is_object()) return;
  companions.config["tokenizer_class"] = "PreTrainedTokenizerFast";
  companions.config["clean_up_tokenization_spaces"] = false;
  for (const char* key : {"auto_map", "sp_model_kwargs", "legacy", "use_default_system_prompt"})
    companions.config.erase(key);
  name_special_tokens(parts, companions.config);
  for (TokenizerFile& file : companions.files) {
    if (file.name == "tokenizer_config.json") file.content = companions.config.dump(2) + "\n";
  }
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_sentencepiece(std::string content, const Companions& companions,
                                                        const std::string& where) {
  const SentencePieceModel model = parse_sentencepiece(content, where);
  TokenizerParts parts = sentencepiece_parts(model, where);
  Json added = Json::array();
  for (const AddedToken& token : parts.added) added.push_back({{"content", token.content}});
  const std::size_t own = added.size();
  add_named_tokens(companions, added, where);
  added.erase(added.begin(), added.begin() + static_cast<std::ptrdiff_t>(own));
  for (AddedToken& token : read_added_tokens(added, parts.model->vocabulary(), where))
    parts.added.push_back(std::move(token));
  find_special_tokens(companions, parts, where);
  add_around(companions.config, parts);
  if (model.kind != SentencePieceModel::Kind::Word) {
    std::string whole = sentencepiece_json(model, parts.before, parts.after, false);
    if (!added.empty()) {
      Json json = parse_json(whole, where);
      for (const Json& token : added) json["added_tokens"].push_back(token);
      whole = json.dump(1) + "\n";
    }
    parts.files.push_back({"tokenizer.json", std::move(whole)});
  }
  parts.files.push_back({"tokenizer.model", std::move(content)});
  Companions fast = companions;
  use_fast_class(fast, parts);
  return finish_tokenizer(std::move(parts), fast, where);
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  if (is_vocabulary_folder(path)) return tokenizer_from_vocabulary(path);
  const std::string file = find_tokenizer(path);
  const std::string folder = fs::path(file).parent_path().string();
  std::string content = read_file(file, kMaxBytes);
  const bool json = content.find_first_not_of(" \t\r\n") != content.npos &&
                    content[content.find_first_not_of(" \t\r\n")] == '{';
  if (!json && is_readable_text(content))
    fail(file,
         ": a text, neither tokenizer.json nor a SentencePiece .model; merges or ranks alone (vocab.bpe, "
         ".tiktoken) do not name a pre-tokenizer: take the tokenizer.json of the same model");
  if (!json) return tokenizer_from_sentencepiece(std::move(content), read_companions(folder), file);
  Companions companions = read_companions(folder);
  if (fs::exists(fs::path(folder) / "tokenizer.model")) {  // goes along to engines that want it
    companions.files.push_back(
        {"tokenizer.model", read_file((fs::path(folder) / "tokenizer.model").string(), kMaxBytes)});
  }
  return tokenizer_from_json(std::move(content), companions, file);
}

}  // namespace lathe
