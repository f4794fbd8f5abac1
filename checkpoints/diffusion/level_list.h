#pragma once
// Lists of diffusers' configs that have an entry for each level of a network.
#include <cstdint>
#include <vector>

#include "checkpoints/bundle/config_reader.h"

namespace lathe {

// The list under `key`, empty when it is absent or null; Error naming the key when it is none, or of more
// levels than any network has.
const Json& level_list(const ConfigReader& config, const char* key);
// Whole numbers above 0; absent or null: the fallback.
std::vector<std::int64_t> level_channels(const ConfigReader& config, const char* key,
                                         std::vector<std::int64_t> fallback);

}  // namespace lathe
