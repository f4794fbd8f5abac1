#pragma once
// What one key cannot say: combinations that contradict each other or leave a run undefined.
#include <string>
#include <utility>
#include <vector>

#include "recipes/schema/reader.h"
#include "recipes/schema/recipe.h"

namespace lathe {

// Adds to context.problems and to notes. Keys in context.broken are not judged: their mistake is told
// already. `file` is the recipe's, for what is missing altogether.
void validate_recipe(const Recipe& recipe, const std::string& file, ReadContext& context,
                     std::vector<std::string>& notes);

// What of prediction, schedule, zero_terminal_snr and sampler contradicts another: the key, and the message.
// Of a base's own values too, which are known only when the base is.
std::vector<std::pair<std::string, std::string>> noise_contradictions(const DiffusionSection& section);

}  // namespace lathe
