#pragma once
// The "pre_tokenizer" of tokenizer.json: cuts normalized text into the pieces the model sees.
#include <functional>
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
  // Visits the pieces of a whole text as they are found, so that nobody holds them all; false where only
  // apply() can tell them.
  virtual bool visit(std::string_view, const std::function<void(const Span&)>&) const { return false; }
};

struct PreTokenizerPlan {
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  bool asks_origins = false;  // a step does other things at the beginning of the original text
  bool bytes = false;         // ends in ByteLevel: the model's vocabulary is in the byte alphabet
};

PreTokenizerPlan make_pre_tokenizer(const Json& value, const std::string& where);

}  // namespace lathe
