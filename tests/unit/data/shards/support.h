#pragma once
// What the tests of shards and loaders share: a tokenizer of bytes, small shards.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "data/shards/packing.h"
#include "data/shards/preparation.h"
#include "data/shards/writer.h"
#include "data/tokenizers/tokenizer.h"
#include "tests/catch.h"
#include "tests/temporary_folder.h"

namespace lathe::testing {

// Ids are bytes + `shift`; EOS is 256 + shift. `shift` stands for a tokenizer with other ids.
class ByteTokenizer : public Tokenizer {
 public:
  explicit ByteTokenizer(TokenId shift = 0) : shift_(shift) {}
  Encoding encode(std::string_view text, const EncodeOptions& = {}) const override {
    Encoding encoding;
    for (std::size_t i = 0; i < text.size(); ++i) {
      encoding.ids.push_back(static_cast<unsigned char>(text[i]) + shift_);
      encoding.begin.push_back(i);
      encoding.end.push_back(i + 1);
    }
    return encoding;
  }
  std::string decode(const std::vector<TokenId>& ids, bool = false) const override {
    std::string text;
    for (const TokenId id : ids) {
      if (id != 256 + shift_) text += static_cast<char>(id - shift_);
    }
    return text;
  }
  std::size_t vocab_size() const override { return 257 + shift_; }
  SpecialTokens special() const override { return {.bos = {}, .eos = 256 + shift_, .pad = {}, .unk = {}}; }
  bool is_special(TokenId id) const override { return id == 256 + shift_; }
  std::string token_text(TokenId id) const override { return std::to_string(id); }
  std::optional<TokenId> token_id(std::string_view) const override { return {}; }
  std::vector<TokenizerFile> files() const override {
    return {{"tokenizer.json", "{\"shift\": " + std::to_string(shift_) + "}"},
            {"tokenizer_config.json", "{}"}};
  }

 private:
  TokenId shift_;
};

// Tools whose tokenizer is ByteTokenizer; they count what was asked of them.
struct CountingTools {
  int loaded = 0, trained = 0;
  std::vector<std::string> training_texts;
  PrepareTools tools(FileSystem& files = real_file_system()) {
    PrepareTools result;
    result.files = &files;
    result.load_tokenizer = [this](const std::string& path) -> std::unique_ptr<Tokenizer> {
      ++loaded;
      const std::string file = std::filesystem::is_directory(path) ? path + "/tokenizer.json" : path;
      return std::make_unique<ByteTokenizer>(json_get<TokenId>(read_json(file), "shift", file));
    };
    result.train_tokenizer = [this](DocumentStream& documents, const TokenizerTraining& training) {
      ++trained;
      training_texts.clear();
      std::string text;
      while (documents.next(text)) training_texts.push_back(text);
      return std::make_unique<ByteTokenizer>(static_cast<TokenId>(training.vocab_size % 7));
    };
    return result;
  }
};

using Documents = std::vector<std::vector<std::uint32_t>>;

// Writes a shard of the documents, all of source 0 but as told.
inline TokenLedger write_shard(const std::string& path, const Documents& documents, std::uint64_t vocab_size,
                               const PackingOptions& packing, FileSystem& files = real_file_system()) {
  ShardWriter writer(path, vocab_size, files);
  for (const auto& document : documents) writer.add_document(document, 0);
  ShardInfo info;
  info.tokenizer_sha256 = "tokenizer";
  info.source_sha256 = "source";
  info.settings = {{"made", "by a test"}};
  return writer.finish(info, packing);
}

// Documents of pseudo-random lengths in [2, longest] and ids below vocab; a plain linear congruence.
inline Documents random_documents(std::size_t count, std::uint64_t longest, std::uint32_t vocab,
                                  std::uint64_t seed) {
  std::uint64_t state = seed;
  const auto next = [&] { return (state = state * 6364136223846793005ull + 1442695040888963407ull) >> 33; };
  Documents documents(count);
  for (auto& document : documents) {
    document.resize(2 + next() % (longest - 1));
    for (auto& id : document) id = static_cast<std::uint32_t>(next() % vocab);
  }
  return documents;
}

}  // namespace lathe::testing
