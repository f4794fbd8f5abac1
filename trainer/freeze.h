#pragma once
// `model.freeze`: parameters that are not trained. A pattern is one or more whole parts of a name, as in
// layers.0, embed_tokens or transformer_blocks.0.attn.
#include <string>
#include <vector>

namespace lathe {

bool is_frozen(const std::string& parameter, const std::vector<std::string>& patterns);

// Usage errors: a pattern that names none of these parameters, patterns that name them all.
void check_freeze(const std::vector<std::string>& parameters, const std::vector<std::string>& patterns);

}  // namespace lathe
