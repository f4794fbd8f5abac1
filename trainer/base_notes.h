#pragma once
// What an owner should know of a base before it is tuned.
#include <string>

#include "checkpoints/bundle/bundle.h"

namespace lathe {

// The dropout that a base's config.json names, which training in transformers (and so TRL) applies and tuning
// here does not: a sentence with the recipe's own keys for it; "" when it names none. Keys that GPT2Config
// has at 0.1 count when absent.
std::string base_dropout_note(const Family& family, const Json& config);

}  // namespace lathe
