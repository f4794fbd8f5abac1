#include "trainer/notices.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "data/io/file_system.h"
#include "recipes/schema/load.h"

namespace lathe {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostBytes = 1 << 20;
constexpr int kMostBases = 8;  // one made from another

bool is_notice(std::string name) {
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return std::ranges::any_of(std::initializer_list<const char*>{"LICENSE", "LICENCE", "NOTICE", "USE_POLICY"},
                             [&](const char* word) { return name.starts_with(word); });
}

void add_notices(const std::string& folder, std::vector<TokenizerFile>& notices) {
  std::error_code ignored;
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    if (entry.is_regular_file(ignored) && is_notice(entry.path().filename().string()) &&
        entry.file_size(ignored) <= kMostBytes)
      names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  for (const std::string& name : names)
    if (std::ranges::none_of(notices, [&](const TokenizerFile& file) { return file.name == name; }))
      notices.push_back({name, read_file(folder + "/" + name, kMostBytes)});
}

// What the model in `folder` was made from; "" where nothing tells.
std::string base_of(const std::string& folder) {
  if (fs::exists(folder + "/recipe.yaml")) return load_recipe(folder + "/recipe.yaml").recipe.model.path;
  if (!is_adapter_folder(folder)) return "";
  return read_json(folder + "/adapter_config.json").value("base_model_name_or_path", "");
}

}  // namespace

std::vector<TokenizerFile> notices_of(const ModelSource& source) {
  std::vector<TokenizerFile> notices;
  std::string folder = source.folder;
  try {
    for (int i = 0; i < kMostBases; ++i) {
      add_notices(folder, notices);
      const std::string base = base_of(folder);
      if (base.empty()) break;
      folder = resolve_model(base).folder;
    }
  } catch (const Error&) {  // a base that is not here any more; whoever needs its weights tells
  }
  return notices;
}

}  // namespace lathe
