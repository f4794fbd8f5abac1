#pragma once
// The chat template of a model folder, and the special tokens it may name.
#include <string>

#include "data/templates/render_example.h"

namespace lathe {

// chat_template.jinja, else tokenizer_config.json's "chat_template" (a string, or a list of {name, template},
// of which `name` or "default" is taken), else chat_template.json. No template: format.chat_template is
// empty. Variables are bos_token, eos_token, unk_token, pad_token ... of tokenizer_config.json and
// special_tokens_map.json, as transformers gives them to a template; those that neither mentions are what the
// class of the tokenizer has for them, or, where no class is named either, what a SentencePiece model says.
ChatFormat read_chat_format(const std::string& folder, const std::string& name = "default");

// The same of a tokenizer in memory, from the files that it would be saved as: of a GGUF file, of an adapter
// on its base, of what is about to be exported.
ChatFormat chat_format_of(const Tokenizer& tokenizer);

}  // namespace lathe
