#pragma once
// The "pre_tokenizer" of tokenizer.json: cuts normalized text into the pieces the model sees.
#include <memory>
#include <string>
#include <vector>

#include "data/io/json.h"
#include "data/tokenizers/aligned_text.h"

namespace lathe {

struct PreTokens {
  AlignedText text;
  std::vector<Span> pieces;  // ranges of text
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(PreTokens& tokens) const = 0;
};

struct PreTokenizerPlan {
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  bool bytes = false;  // ends in ByteLevel: the model's vocabulary is in the byte alphabet
};

PreTokenizerPlan make_pre_tokenizer(const Json& value, const std::string& where);

}  // namespace lathe
