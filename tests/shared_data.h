#pragma once
// Data that lies beside the checkout on some machines: $LATHE_SHARED_DATA, else ../shared/data. A case that
// wants what is not there says so in the line that scripts/run_tests.py counts, with its own name: two cases
// are two skips.
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>

#include "tests/catch.h"
#include "tests/places.h"

namespace lathe::test {

inline std::string shared_data(const std::string& part) {
  const char* set = std::getenv("LATHE_SHARED_DATA");
  return (set ? std::string(set) : source_folder() + "/../shared/data") + "/" + part;
}

inline void say_skipped(const std::string& why) {
  std::cout << "SKIPPED: " << Catch::getResultCapture().getCurrentTestName() << ": " << why << "\n";
}

// True, after saying so, when `path` is not there.
inline bool skipped_without(const std::string& path) {
  if (std::filesystem::exists(path)) return false;
  say_skipped("there is no " + path);
  return true;
}

}  // namespace lathe::test
