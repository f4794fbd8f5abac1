#pragma once
// Other well-known spellings of our keys (transformers, axolotl, LitGPT, torchtune ...), in one table. They
// are read, and a note names ours.
#include <string>
#include <vector>

#include "recipes/schema/yaml.h"

namespace lathe {

// Moves every alias of one document to our key. A key given in both spellings is a problem.
void rename_aliases(Yaml& document, std::vector<RecipeProblem>& problems, std::vector<std::string>& notes);

// " (what happens without it)" for a well-known key of a section ("export[0]") that has no place here; else
// empty.
std::string why_not_ours(const std::string& section, const std::string& key);

// `train.gradient_accumulation_steps` of the merged recipe: taken out, and turned into the batch size that is
// missing. A problem when the two batch sizes contradict it.
void apply_accumulation(Yaml& merged, std::vector<RecipeProblem>& problems, std::vector<std::string>& notes);

// The entry of a dotted key, sections made on the way; nullptr when something on the way is no section.
YamlEntry* entry_at(Yaml& document, const std::string& path, const Place& place);
const Yaml* value_at(const Yaml& document, const std::string& path);

}  // namespace lathe
