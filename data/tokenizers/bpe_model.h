#pragma once
// Byte pair encoding over bytes in GPT-2's alphabet or over characters with byte fallback, as in
// tokenizer.json.
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "data/tokenizers/byte_trie.h"
#include "data/tokenizers/token_model.h"

namespace lathe {

struct BpeOptions {
  bool bytes =
      true;  // pieces are bytes and the vocabulary is in the byte alphabet; else pieces are characters
  bool ignore_merges = false;  // a piece that is a token as a whole is that token
  bool byte_fallback = false;  // an unknown character becomes <0xNN> tokens
  bool fuse_unk = false;
  std::optional<TokenId> unk;
  std::string continuing_prefix, word_suffix;
  ByteTrie whole_symbols;  // texts that are one symbol from the start (SentencePiece's user-defined pieces)
};

class BpeModel : public TokenModel {
 public:
  BpeModel(Vocabulary vocabulary, MergeTable merges, BpeOptions options);
  void tokenize(std::string_view piece, std::vector<Symbol>& out) const override;

 private:
  void byte_symbols(std::string_view piece, std::vector<Symbol>& out) const;
  void character_symbols(std::string_view piece, std::vector<Symbol>& out) const;
  std::optional<TokenId> character_id(std::string_view character, bool first, bool last) const;
  bool fall_back(std::string_view character, std::uint32_t begin, std::vector<Symbol>& out) const;
  std::optional<TokenId> whole(std::string_view piece) const;
  void learn_neighbours();
  void tokenize_part(std::string_view piece, std::vector<Symbol>& out) const;
  void tokenize_uncached(std::string_view piece, std::vector<Symbol>& out) const;

  MergeTable merges_;
  BpeOptions options_;
  std::uint64_t identity_;  // names this model in the caches
  // Ids of single bytes by [first][last] of the piece: prefix and suffix make them differ.
  std::array<std::array<std::optional<TokenId>, 256>, 4> byte_ids_;
  ByteIds fallback_ids_;
  // Over characters a piece is a whole text. Two neighbours that stand together in no token can always be
  // parted, so long pieces fall into short parts, which the cache knows.
  bool parts_ = false;
  std::unordered_set<std::uint64_t> neighbours_;
  std::vector<bool> ascii_neighbours_;
  TokenIndex whole_;  // raw bytes of every token, for ignore_merges over bytes
};

}  // namespace lathe
