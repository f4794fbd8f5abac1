#pragma once
// The "decoder" of tokenizer.json: from the texts of tokens back to bytes.
#include <memory>
#include <string>
#include <vector>

#include "data/io/json.h"

namespace lathe {

class TokenDecoder {
 public:
  virtual ~TokenDecoder() = default;
  virtual void apply(std::vector<std::string>& tokens) const = 0;
};

using DecoderChain = std::vector<std::unique_ptr<TokenDecoder>>;

// An empty chain for a null value: tokens are then joined with spaces. `word_suffix` is the model's
// end_of_word_suffix: behind ByteLevel it becomes a space between words, as transformers' CLIPTokenizer does
// (the tokenizers library alone would print it).
DecoderChain make_decoder(const Json& value, const std::string& word_suffix, const std::string& where);

}  // namespace lathe
