#include <filesystem>

#include "data/io/file_system.h"
#include "data/tokenizers/companions.h"
#include "data/tokenizers/load.h"
#include "data/tokenizers/tokenizer_json.h"

namespace lathe {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kMaxBytes = 256 << 20;

bool has_file(const TokenizerParts& parts, const std::string& name) {
  for (const TokenizerFile& file : parts.files) {
    if (file.name == name) return true;
  }
  return false;
}

std::string find_tokenizer(const std::string& path) {
  require(fs::exists(path), path, ": no such file or folder; wanted a tokenizer.json, a SentencePiece .model or a folder");
  if (!fs::is_directory(path)) return path;
  for (const char* name : {"tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"}) {
    const fs::path file = fs::path(path) / name;
    if (fs::exists(file)) return file.string();
  }
  fail(path, ": no tokenizer here; wanted tokenizer.json or tokenizer.model (a folder with vocab.json and merges.txt ",
       "alone can be converted with transformers' save_pretrained)");
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
  TokenizerParts parts = read_tokenizer_json(parse_json(content, where), where);
  parts.files.push_back({"tokenizer.json", std::move(content)});
  return finish_tokenizer(std::move(parts), companions, where);
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  const std::string file = find_tokenizer(path);
  const std::string folder = fs::path(file).parent_path().string();
  return tokenizer_from_json(read_file(file, kMaxBytes), read_companions(folder), file);
}

}  // namespace lathe
