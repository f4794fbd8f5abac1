#include "checkpoints/store/manifest.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <span>

#include "data/io/plain_name.h"
#include "data/io/hash.h"
#include "data/io/json.h"

namespace lathe {

namespace {

constexpr int kVersion = 1;

bool is_sha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// Keys are exactly these: a flipped bit in a key must not turn it into a key that is overlooked.
void require_keys(const Json& object, std::set<std::string> wanted, const std::string& where) {
  require(object.is_object(), where, ": wanted an object");
  for (const auto& [key, value] : object.items())
    require(wanted.erase(key) == 1, where, ": unknown key '", key, "'");
  require(wanted.empty(), where, ": key '", wanted.empty() ? "" : *wanted.begin(), "' is missing");
}

ManifestFile read_entry(const Json& entry, const std::string& where) {
  require_keys(entry, {"name", "size", "sha256"}, where);
  ManifestFile file{json_get<std::string>(entry, "name", where), 0,
                    json_get<std::string>(entry, "sha256", where)};
  require(entry["size"].is_number_unsigned(), where, ": 'size' must be a whole number");
  file.size = entry["size"].get<std::uint64_t>();
  require(is_plain_path(file.name), where, ": '", file.name,
          "' is not a plain file name, or one in a plain folder");
  require(is_sha256(file.sha256), where, ": '", file.name,
          "': 'sha256' must be 64 lower-case hexadecimal digits");
  return file;
}

}  // namespace

void write_checkpoint_manifest(const std::string& folder, const CheckpointManifest& manifest,
                               FileSystem& fs) {
  Json json = {
      {"format", manifest.format}, {"version", kVersion}, {"step", manifest.step}, {"files", Json::array()}};
  for (const ManifestFile& file : manifest.files)
    json["files"].push_back({{"name", file.name}, {"size", file.size}, {"sha256", file.sha256}});
  const std::string text = json.dump(1) + "\n";
  const auto file = fs.create(folder + "/" + kManifestName);
  file->write(std::as_bytes(std::span(text)));
  file->sync();
  file->close();
}

CheckpointManifest read_checkpoint_manifest(const std::string& folder) {
  const std::string where = folder + "/" + kManifestName;
  const Json json = read_json(where, {.max_bytes = std::size_t{64} << 20, .max_depth = 8});
  require_keys(json, {"format", "version", "step", "files"}, where);
  require(json["version"] == kVersion, where, ": version ", json["version"].dump(),
          " is not known, this program reads ", kVersion);
  require(json["step"].is_number_integer(), where, ": 'step' must be a whole number");
  require(json["files"].is_array(), where, ": 'files' must be a list");
  CheckpointManifest manifest{
      json_get<std::string>(json, "format", where), json["step"].get<std::int64_t>(), {}};
  std::set<std::string> names;
  for (const Json& entry : json["files"]) {
    manifest.files.push_back(read_entry(entry, where));
    require(names.insert(manifest.files.back().name).second, where, ": '", manifest.files.back().name,
            "' is there twice");
  }
  return manifest;
}

std::string check_manifest(const std::string& folder, const CheckpointManifest& manifest,
                           ManifestCheck depth) {
  for (const ManifestFile& file : manifest.files) {
    const std::string path = folder + "/" + file.name;
    std::error_code error;
    const std::uintmax_t size = std::filesystem::file_size(path, error);
    if (error) return cat(path, ": ", error.message());
    if (size != file.size) return cat(path, ": has ", size, " bytes, ", kManifestName, " says ", file.size);
  }
  if (depth == ManifestCheck::Sizes) return {};
  for (const ManifestFile& file : manifest.files)
    if (sha256_file(folder + "/" + file.name) != file.sha256)
      return cat(folder, "/", file.name, ": its content does not have the SHA-256 that ", kManifestName,
                 " says");
  return {};
}

}  // namespace lathe
