#pragma once
// Tokenizers from contents at hand; load_tokenizer (tokenizer.h) reads them from a path.
#include <memory>
#include <string>

#include "data/tokenizers/companions.h"
#include "data/tokenizers/tokenizer.h"

namespace lathe {

// The text of a tokenizer.json, kept as it is in files().
std::unique_ptr<Tokenizer> tokenizer_from_json(std::string content, const Companions& companions,
                                               const std::string& where);
// The bytes of a SentencePiece .model. files() holds it, and an equal tokenizer.json for engines that read
// that.
std::unique_ptr<Tokenizer> tokenizer_from_sentencepiece(std::string content, const Companions& companions,
                                                        const std::string& where);
// Parts from any format: special ids and the missing files are added.
std::unique_ptr<Tokenizer> finish_tokenizer(TokenizerParts parts, const Companions& companions,
                                            const std::string& where);

}  // namespace lathe
