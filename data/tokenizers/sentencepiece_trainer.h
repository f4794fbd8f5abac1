#pragma once
// Trains SentencePiece models with settings that lose nothing.
#include <memory>

#include "data/tokenizers/tokenizer.h"

namespace lathe {

// options.kind is bpe or unigram.
std::unique_ptr<Tokenizer> train_sentencepiece(DocumentStream& documents, const TokenizerTraining& options);

}  // namespace lathe
