#pragma once
// SentencePiece's model of whole words: each stretch that begins with U+2581 is one token or unknown.
#include "data/tokenizers/token_model.h"

namespace lathe {

struct WordOptions {
  TokenIndex words;            // what may be found: never a control token
  std::optional<TokenId> unk;  // neighbours that are unknown become one
  bool byte_fallback = false;  // unknown words by their bytes, where the vocabulary has <0x00> to <0xFF>
};

class WordModel : public TokenModel {
 public:
  WordModel(Vocabulary vocabulary, WordOptions options)
      : TokenModel(std::move(vocabulary)),
        options_(std::move(options)),
        byte_ids_(byte_fallback_ids(vocabulary_)) {}
  void tokenize(std::string_view piece, std::vector<Symbol>& out) const override;

 private:
  void push_unknown(std::string_view piece, std::uint32_t begin, std::uint32_t end,
                    std::vector<Symbol>& out) const;
  WordOptions options_;
  ByteIds byte_ids_;
};

}  // namespace lathe
