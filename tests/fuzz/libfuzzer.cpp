// Entry point of libFuzzer for the target named by LATHE_FUZZ_TARGET at compile time. `fuzz_<target>
// --write-seeds FOLDER` writes the seeds and the dictionary that a search starts from.
#ifdef LATHE_FUZZ_TARGET
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "recipes/schema/error.h"
#include "tests/fuzz/target.h"

namespace {

const lathe::fuzz::Target& target() {
  static const lathe::fuzz::Target& found = []() -> const lathe::fuzz::Target& {
    for (const lathe::fuzz::Target& one : lathe::fuzz::targets())
      if (std::strcmp(one.name, LATHE_FUZZ_TARGET) == 0) return one;
    std::abort();
  }();
  return found;
}

void write_seeds(const std::string& folder) {
  int number = 0;
  for (const std::string& seed : target().seeds())
    std::ofstream(folder + "/seed-" + std::to_string(number++), std::ios::binary) << seed;
  std::ofstream words(folder + ".dict");
  for (const std::string& word : target().words) {
    words << '"';
    for (const char c : word) {
      char code[8];
      std::snprintf(code, sizeof code, "\\x%02X", static_cast<unsigned char>(c));
      words << code;
    }
    words << "\"\n";
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  if (*count == 3 && std::strcmp((*arguments)[1], "--write-seeds") == 0) {
    write_seeds((*arguments)[2]);
    std::exit(0);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    target().run({reinterpret_cast<const char*>(data), size});
  } catch (const lathe::Error&) {
    return 0;
  }
  return 0;
}
#endif
