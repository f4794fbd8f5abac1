#pragma once
// A tokenizer with tokens put behind its vocabulary, as `tokenizer.add_tokens` and `add_special_tokens` ask
// for it. Every id that was there stays.
#include <memory>
#include <string>
#include <vector>

#include "data/tokenizers/tokenizer.h"

namespace lathe {

// `plain` tokens are found in any text; `control` ones only where a template or the program writes them. They
// get the ids vocab_size(), vocab_size() + 1 ..., plain ones first, and stand in tokenizer.json's
// added_tokens. Usage Error for a token that is empty, given twice or there already.
std::unique_ptr<Tokenizer> add_tokens(const Tokenizer& tokenizer, const std::vector<std::string>& plain,
                                      const std::vector<std::string>& control);

}  // namespace lathe
