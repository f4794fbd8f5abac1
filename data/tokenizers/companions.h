#pragma once
// The files beside tokenizer.json that name the special tokens: tokenizer_config.json,
// special_tokens_map.json, added_tokens.json and generation_config.json; and the chat template that goes with
// them. Any of them may be absent.
#include <string>

#include "data/tokenizers/pipeline_tokenizer.h"

namespace lathe {

struct Companions {
  Json config, map, generation, added;  // null when absent
  std::vector<TokenizerFile> files;     // those that belong to a tokenizer, as they are
};

Companions read_companions(const std::string& folder);

// The tokens that only these files name (added_tokens_decoder of tokenizer_config.json, else
// added_tokens.json), which transformers adds when it loads the folder: put behind `added`, the list of
// tokenizer.json. Whether there were any.
bool add_named_tokens(const Companions& companions, Json& added, const std::string& where);

// Fills parts.special: by the companions, else by the names everybody uses.
void find_special_tokens(const Companions& companions, TokenizerParts& parts, const std::string& where);

// Names in tokenizer_config.json the special tokens that it does not mention.
void name_special_tokens(const TokenizerParts& parts, Json& config);

// tokenizer_config.json of a tokenizer that has none: class PreTrainedTokenizerFast and the special tokens'
// texts.
std::string make_tokenizer_config(const TokenizerParts& parts);

}  // namespace lathe
