#pragma once
// Paths in recipes: inputs are relative to the file that names them (to the current folder for `--set`), so
// they are made absolute before documents are merged; outputs are relative to the current folder, and so is
// runs/ of a built-in recipe. `~` is the home folder.
#include <string>
#include <vector>

#include "recipes/schema/yaml.h"

namespace lathe {

// Makes every input of one document absolute: model.path, tokenizer.path, data.train, data.validation,
// evaluate.prompts.
void resolve_inputs(Yaml& document, const std::string& folder);

// The same for a value set inside a list: key {data, train, 0, path}.
void resolve_source_item(Yaml& value, const std::vector<std::string>& key, const std::string& folder);

// For data.validation: a share of the documents, or what was meant to be one (`2%`, `0,1`), and no path.
bool share_like(const Yaml& value);

// Absolute, without "." and ".."; "" stays "".
std::string absolute_path(const std::string& path, const std::string& folder);

}  // namespace lathe
