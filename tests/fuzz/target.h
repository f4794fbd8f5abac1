#pragma once
// One fuzz target a parser of ours: bytes in, and either they are read or a lathe::Error is thrown. Anything
// else (another exception, std::abort by a broken invariant, a crash, too much memory or time) is a finding.
// The same targets run two ways: replay.cpp (any compiler, in the fast suite) feeds the seeds and a fixed
// sequence of their mutations; libfuzzer.cpp (clang) lets libFuzzer search. A new target is a file
// target_<name>.cpp and a line in targets.cpp.
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace lathe::fuzz {

struct Target {
  const char* name;
  void (*run)(std::string_view bytes);
  std::vector<std::string> (
      *seeds)();                   // small inputs of every shape the parser knows, good ones and bad ones
  std::vector<std::string> words;  // what mutations insert: keywords and numbers of the format
  int rounds;                      // mutations of each replay; about a second
};

const std::vector<Target>& targets();

// A broken invariant: what was accepted does not keep what the parser promises.
inline void promise(bool kept) {
  if (!kept) std::abort();
}

// Tests and fuzzers meet files through paths: a private folder in memory where there is one.
class InputFolder {
 public:
  InputFolder();
  ~InputFolder();
  InputFolder(const InputFolder&) = delete;
  InputFolder& operator=(const InputFolder&) = delete;
  // Writes the file and returns its path.
  std::string put(const std::string& name, std::string_view bytes) const;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string read_source_file(const std::string& path_in_source);  // of the source tree; "" when absent

}  // namespace lathe::fuzz
