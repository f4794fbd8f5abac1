#pragma once
// Putting documents together: base below recipe below `--set`. Sections merge key by key; lists and values
// replace.
#include <string>
#include <vector>

#include "recipes/schema/yaml.h"

namespace lathe {

void merge_yaml(Yaml& below, Yaml above);

// The same for whole documents, where `above` may choose the other of two ways that exclude each other:
// model.path replaces a model from scratch and the reverse, tokenizer.path replaces tokenizer.train and the
// reverse, and model.size the shapes (hidden_size ...) that stand below it.
void merge_documents(Yaml& below, Yaml above);

// `a.b=value`; the value is YAML, flow lists and sections included (`data.train=[{path: x}]`). A list is
// entered by index: `data.train[0].path=x` (or `data.train.0.path=x`). Inputs in it are relative to the
// current folder. `number` is 1 for the first --set.
void apply_override(Yaml& recipe, const std::string& text, int number, std::vector<RecipeProblem>& problems,
                    std::vector<std::string>& notes);

}  // namespace lathe
