#pragma once
// Names of unfinished folders: "<name>.tmp-<host>-<process>-<n>". Whoever cleans up leaves alone what a
// living process may still be writing.
#include <string>
#include <vector>

#include "data/io/file_system.h"

namespace lathe {

// A unique temporary name beside `final_path`, in use until the object goes. The destructor touches no file.
class TemporaryName {
 public:
  explicit TemporaryName(const std::string& final_path);
  ~TemporaryName();
  TemporaryName(const TemporaryName&) = delete;
  TemporaryName& operator=(const TemporaryName&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Removes temporaries of `prefix`* in `folder` whose process is gone. Those of other hosts are left alone,
// unless the caller knows that it is the only writer.
void remove_leftovers(const std::string& folder, const std::string& prefix, bool only_writer, FileSystem& fs);

}  // namespace lathe
