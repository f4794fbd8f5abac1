#pragma once
// The one Tokenizer of this house: added tokens, normalizer, pre-tokenizer, model, post-processor and decoder
// in a row, as tokenizer.json lays them out. SentencePiece models are put into the same parts.
#include <memory>
#include <string>
#include <vector>

#include "data/tokenizers/added_tokens.h"
#include "data/tokenizers/decoders.h"
#include "data/tokenizers/normalizers.h"
#include "data/tokenizers/pre_tokenizers.h"
#include "data/tokenizers/token_model.h"
#include "data/tokenizers/tokenizer.h"

namespace lathe {

struct TokenizerParts {
  std::unique_ptr<Normalizer> normalizer;
  PreTokenizerPlan pre_tokenizer;
  std::unique_ptr<TokenModel> model;
  std::vector<AddedToken> added;
  std::vector<TokenId> before, after;  // what the post-processor adds
  DecoderChain decoder;
  SpecialTokens special;
  std::vector<TokenizerFile> files;
};

class PipelineTokenizer : public Tokenizer {
 public:
  explicit PipelineTokenizer(TokenizerParts parts);
  Encoding encode(std::string_view text, const EncodeOptions& options = {}) const override;
  std::vector<TokenId> ids(std::string_view text) const override;
  std::string decode(const std::vector<TokenId>& ids, bool keep_special = false) const override;
  std::size_t vocab_size() const override { return vocab_size_; }
  SpecialTokens special() const override { return parts_.special; }
  bool is_special(TokenId id) const override;
  std::string token_text(TokenId id) const override;
  std::optional<TokenId> token_id(std::string_view text) const override;
  std::vector<TokenizerFile> files() const override { return parts_.files; }

 private:
  struct Output;
  void encode_text(std::string_view text, const EncodeOptions& options, Output& out) const;
  void encode_section(AlignedText text, const EncodeOptions& options, Output& out) const;
  void encode_plain(AlignedText text, Output& out) const;
  void encode_piece(const AlignedText& text, const Span& piece, Output& out) const;

  TokenizerParts parts_;
  AddedTokens added_;
  std::size_t vocab_size_;
};

}  // namespace lathe
