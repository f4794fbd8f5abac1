#include "checkpoints/diffusion/level_list.h"

#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::size_t kMostLevels = 12;
constexpr std::int64_t kMostChannels = std::int64_t{1} << 16;

}  // namespace

const Json& level_list(const ConfigReader& config, const char* key) {
  static const Json none = Json::array();
  if (!config.has(key)) return none;
  const Json& list = config.json()[key];
  if (!list.is_array() || list.empty() || list.size() > kMostLevels)
    config.wrong(key, cat("a list of 1 to ", kMostLevels, " levels"));
  return list;
}

std::vector<std::int64_t> level_channels(const ConfigReader& config, const char* key,
                                         std::vector<std::int64_t> fallback) {
  std::vector<std::int64_t> channels;
  for (const Json& value : level_list(config, key)) {
    if (!value.is_number_integer() || value.get<double>() < 1 ||
        value.get<double>() > static_cast<double>(kMostChannels))
      config.wrong(key, cat("whole numbers of 1 to ", kMostChannels));
    channels.push_back(value.get<std::int64_t>());
  }
  return channels.empty() ? fallback : channels;
}

}  // namespace lathe
