#pragma once
// The "normalizer" of tokenizer.json: changes of the text before it is split, each keeping track of where its
// bytes came from.
#include <memory>
#include <string>

#include "data/io/json.h"
#include "data/tokenizers/aligned_text.h"

namespace lathe {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual AlignedText apply(AlignedText text) const = 0;
};

// The only anchor that is read: a Replace of this expression puts its content behind a text that is not
// empty, as SentencePiece's treat_whitespace_as_suffix does.
inline constexpr const char* kEndOfText = "\\z";

// Null for a null value; Error naming a type that is not supported.
std::unique_ptr<Normalizer> make_normalizer(const Json& value, const std::string& where);

}  // namespace lathe
