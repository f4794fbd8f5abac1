#include "checkpoints/bundle/fingerprint.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "data/io/hash.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kWhole = 4 << 20, kBegin = 1 << 16, kBlock = 1 << 12, kBlocks = 256;

void add_bytes(std::ifstream& file, std::uint64_t at, std::uint64_t count, const fs::path& path,
               Sha256& hash) {
  std::string bytes(count, '\0');
  file.seekg(static_cast<std::streamoff>(at));
  file.read(bytes.data(), static_cast<std::streamsize>(count));
  require(file.gcount() == static_cast<std::streamsize>(count), path.string(), ": cannot be read");
  hash.update(bytes);
}

void add_file(const fs::path& path, Sha256& hash) {
  const std::uint64_t size = fs::file_size(path);
  std::ifstream file(path, std::ios::binary);
  hash.update(cat(path.filename().string(), ' ', size, '\n'));
  if (size <= kWhole) return add_bytes(file, 0, size, path, hash);
  add_bytes(file, 0, kBegin, path, hash);
  for (std::uint64_t block = 1; block <= kBlocks; ++block)
    add_bytes(file, (size - kBlock) / kBlocks * block, kBlock, path, hash);
}

void add_files_of(const fs::path& folder, std::vector<fs::path>& files) {
  for (std::error_code none; const auto& entry : fs::directory_iterator(folder, none)) {
    const std::string name = entry.path().filename().string();
    const bool weights = name.ends_with(".safetensors") || name.ends_with(".gguf");
    if (weights || name == "config.json" || name == "adapter_config.json") files.push_back(entry.path());
  }
}

}  // namespace

std::string model_fingerprint(const std::string& model) {
  std::vector<fs::path> files;
  if (fs::is_regular_file(model)) files.emplace_back(model);
  add_files_of(model, files);
  if (fs::exists(fs::path(model) / "model_index.json"))  // a pipeline, a folder for each network
    for (std::error_code none; const auto& entry : fs::directory_iterator(model, none))
      if (entry.is_directory()) add_files_of(entry.path(), files);
  std::sort(files.begin(), files.end());
  Sha256 hash;
  for (const fs::path& file : files) add_file(file, hash);
  return hash.hex();
}

std::string tensors_fingerprint(const std::vector<BundleTensor>& tensors) {
  Sha256 hash;
  for (const BundleTensor& tensor : tensors) {
    hash.update(cat(tensor.name, ' ', dtype_name(tensor.dtype), ' ', shape_text(tensor.shape), '\n'));
    hash.update(tensor.bytes().bytes);
  }
  return hash.hex();
}

}  // namespace lathe
