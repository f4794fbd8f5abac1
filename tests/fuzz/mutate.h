#pragma once
// A fixed sequence of mutations, the same on every machine: what libFuzzer does, without its feedback, for
// compilers and suites that have none.
#include <cstdint>
#include <string>
#include <vector>

namespace lathe::fuzz {

class Mutator {
 public:
  Mutator(std::vector<std::string> seeds, std::vector<std::string> words, std::uint64_t state);
  std::string next();  // a seed, or two of them spliced, after one to four changes

 private:
  std::uint64_t draw();
  std::size_t below(std::size_t limit) { return static_cast<std::size_t>(draw() % limit); }
  void change(std::string& bytes);
  void change_number(std::string& bytes);
  void move_part(std::string& bytes);

  std::vector<std::string> seeds_, words_;
  std::uint64_t state_;
};

}  // namespace lathe::fuzz
