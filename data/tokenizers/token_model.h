#pragma once
// What turns one piece of normalized text into tokens: BPE or Unigram.
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/tokenizers/bpe_merges.h"

namespace lathe {

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using TokenIndex = std::unordered_map<std::string, TokenId, StringHash, std::equal_to<>>;

// Text of every id and back. Ids may have gaps; a gap has no text and is never produced.
class Vocabulary {
 public:
  // Fails on an id above 2^24 (no model has as many rows) or a text given twice; `where` names the file.
  void add(std::string text, TokenId id, const std::string& where);
  std::optional<TokenId> find(std::string_view text) const;
  bool has(TokenId id) const { return id < present_.size() && present_[id]; }
  const std::string& text(TokenId id) const { return texts_[id]; }
  std::size_t size() const { return texts_.size(); }  // largest id + 1
  const TokenIndex& index() const { return index_; }

 private:
  std::vector<std::string> texts_;
  std::vector<bool> present_;
  TokenIndex index_;
};

// The tokens <0x00> to <0xFF> that stand for single bytes, where the vocabulary has them.
using ByteIds = std::array<std::optional<TokenId>, 256>;
ByteIds byte_fallback_ids(const Vocabulary& vocabulary);

class TokenModel {
 public:
  virtual ~TokenModel() = default;
  // Appends the tokens of `piece`, their byte ranges counted from its start; bytes nobody stands for give no
  // token.
  virtual void tokenize(std::string_view piece, std::vector<Symbol>& out) const = 0;
  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  explicit TokenModel(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}
  Vocabulary vocabulary_;
};

}  // namespace lathe
