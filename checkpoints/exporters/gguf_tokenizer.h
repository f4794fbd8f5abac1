#pragma once
// A bundle's tokenizer as GGUF's tables: tokens, their types, merges or scores, the pre-tokenizer's name,
// special ids, what is put around a text, the chat template.
#include "checkpoints/bundle/bundle.h"
#include "checkpoints/formats/gguf.h"

namespace lathe {

// Adds tokenizer.ggml.* and tokenizer.chat_template. Error for a tokenizer that llama.cpp would not run to
// the same ids: a Unigram model, a pre-tokenizer without a name there, pieces that its merges do not reach.
void add_gguf_tokenizer(const Bundle& bundle, GgufMetadata& metadata);

// The chat template of the tokenizer's files; "" when there is none.
std::string chat_template_of(const Tokenizer& tokenizer);
// The tokenizer's files with its template where every reader looks: chat_template.jinja (transformers 5,
// recent 4, vLLM) and tokenizer_config.json (older transformers, llama.cpp's converter).
std::vector<TokenizerFile> tokenizer_files_of(const Tokenizer& tokenizer);

}  // namespace lathe
