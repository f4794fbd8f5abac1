#pragma once
// Reads tokenizer.json, the format of Hugging Face's tokenizers library.
#include <string>

#include "data/io/json.h"
#include "data/tokenizers/pipeline_tokenizer.h"

namespace lathe {

// Everything but special ids and files. `where` names the file in errors.
TokenizerParts read_tokenizer_json(const Json& json, const std::string& where);

// The list `added_tokens` of such a file.
std::vector<AddedToken> read_added_tokens(const Json& list, const Vocabulary& vocabulary,
                                          const std::string& where);

// Appends without looking for the key: ordered_json's own insertion is quadratic for a vocabulary.
void append_key(Json& object, std::string key, Json value);

}  // namespace lathe
