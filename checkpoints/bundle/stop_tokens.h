#pragma once
// What ends a generation of a model: the ids that its files name, and the token that its chat template closes
// an answer with, which tuning teaches and which some folders (Gemma's, Phi's) name nowhere else. A served
// model that is not told of it never stops.
#include <optional>
#include <vector>

#include "checkpoints/bundle/bundle.h"

namespace lathe {

// What closes an assistant's turn in the tokenizer's chat template; none where there is no template, where it
// closes turns in plain text, or where it cannot be rendered here.
std::optional<TokenId> turn_end_of(const Bundle& bundle);

// Those of generation_config.json and config.json, the tokenizer's end of text, and what closes a turn; each
// once, in this order.
std::vector<TokenId> stop_ids_of(const Bundle& bundle);
std::vector<TokenId> stop_ids_of(const Bundle& bundle,
                                 const std::optional<TokenId>& turn_end);  // known already

// Why an engine that follows the bundle's files would not stop behind an answer; "" when it would.
std::string stop_objection(const Bundle& bundle);

}  // namespace lathe
