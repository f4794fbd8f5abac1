#pragma once
// The unigram language model of Kudo (2018): the segmentation of largest summed score, found by Viterbi.
#include <array>
#include <optional>
#include <vector>

#include "data/tokenizers/byte_trie.h"
#include "data/tokenizers/token_model.h"

namespace lathe {

struct UnigramOptions {
  std::optional<TokenId> unk;
  bool byte_fallback = false;
  bool single_precision = false;  // SentencePiece sums scores in float, the tokenizers library in double
  std::vector<TokenId> matched;   // ids whose texts may be found in the text; all when empty
  double unk_score = 0;           // of a character no piece covers
};

class UnigramModel : public TokenModel {
 public:
  UnigramModel(Vocabulary vocabulary, std::vector<double> scores, UnigramOptions options);
  void tokenize(std::string_view piece, std::vector<Symbol>& out) const override;

 private:
  template <class Real>
  void best_path(std::string_view piece, std::vector<Symbol>& path) const;
  void push_unknown(std::string_view piece, const Symbol& symbol, std::vector<Symbol>& out) const;

  std::vector<double> scores_;
  UnigramOptions options_;
  ByteTrie trie_;
  ByteIds fallback_;
  bool all_bytes_ = true;
};

}  // namespace lathe
