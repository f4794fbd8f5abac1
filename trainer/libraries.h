#pragma once
// What `lathe doctor` tells of the software around it: the libraries that this program runs on, and the
// programs and Python packages on this machine that read what it writes. Nothing found is started.
#include <string>
#include <vector>

#include "data/io/json.h"

namespace lathe {

// Name -> version: of the library that is loaded where it can tell, else of the headers that it was built
// with.
Json library_versions();

struct Reader {
  std::string name, version;  // a program's version is not asked for: that would start it
  std::string place;          // the environment's folder, or the program's path
};

// Readers and peers of our exports: Python packages by their metadata in `environments` (folders that hold
// lib/python3*/site-packages or python3/dist-packages), and programs on `path`, folders with ':' between
// them.
std::vector<Reader> find_readers(const std::vector<std::string>& environments, const std::string& path);

// The environments of this machine and user: an active one, the system's, the user's, and those that the
// peers tests made.
std::vector<std::string> python_environments();

}  // namespace lathe
