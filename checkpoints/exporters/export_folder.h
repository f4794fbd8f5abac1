#pragma once
// What every exporter does around its files: write beside the target, list them in MANIFEST.json, publish
// whole, replace only what is provably an export of ours.
#include <optional>
#include <string>
#include <string_view>

#include "checkpoints/exporters/exporter.h"
#include "checkpoints/store/manifest.h"
#include "checkpoints/store/temporary.h"

namespace lathe {

// Error when `target` exists and is not an export of ours, unchanged, or overwrite is not set.
void require_replaceable(const std::string& target, bool overwrite);

// A file of the folder that its manifest does not list, or "".
std::string added_file(const std::string& folder, const CheckpointManifest& manifest);

// Gives an export the permissions that other programs' files have, the umask's: engines often run as another
// user. What stands in a run stays private by the run's folder.
void follow_umask(const std::string& folder);

class ExportFolder {
 public:
  // Error when `target` exists and may not be replaced: it is an export of ours, unchanged, and overwrite is
  // set.
  ExportFolder(std::string target, bool overwrite, FileSystem& fs);
  ~ExportFolder();  // removes what was not published
  ExportFolder(const ExportFolder&) = delete;
  ExportFolder& operator=(const ExportFolder&) = delete;

  const std::string& path() const { return temporary_.path(); }  // write here
  FileSystem& file_system() { return fs_; }
  // Names are plain, or plain ones in one folder: "transformer/config.json".
  void add_text(const std::string& name, std::string_view text);
  void add_written(const std::string& name);    // a file that is there and synced
  void add_card(const ExportOptions& options);  // README.md and the notices, as far as there are any
  void publish();

 private:
  std::string target_;
  FileSystem& fs_;
  TemporaryName temporary_;
  CheckpointManifest manifest_;
  bool published_ = false;
};

}  // namespace lathe
