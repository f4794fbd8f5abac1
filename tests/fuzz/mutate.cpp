#include "tests/fuzz/mutate.h"

#include <algorithm>
#include <cstring>

namespace lathe::fuzz {

Mutator::Mutator(std::vector<std::string> seeds, std::vector<std::string> words, std::uint64_t state)
    : seeds_(std::move(seeds)), words_(std::move(words)), state_(state) {}

// SplitMix64 (Steele, Lea, Flood 2014).
std::uint64_t Mutator::draw() {
  std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

// Lengths and offsets lie: a number of the file becomes one at the edge of some range, or one off.
void Mutator::change_number(std::string& bytes) {
  const std::size_t width = std::size_t{1} << below(4);
  if (bytes.size() < width) return;
  const std::size_t at = below(bytes.size() - width + 1);
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data() + at, width);
  switch (below(4)) {
    case 0:
      value = (std::uint64_t{1} << below(64)) - below(2);
      break;
    case 1:
      value += draw() % 64 - 32;
      break;
    case 2:
      value = bytes.size() - below(16);
      break;
    default:
      value = ~std::uint64_t{0} - below(16);
  }
  std::memcpy(bytes.data() + at, &value, width);
}

void Mutator::move_part(std::string& bytes) {
  constexpr std::size_t kMostBytes = 1 << 17;
  const std::size_t from = below(bytes.size()),
                    length = 1 + below(std::min<std::size_t>(bytes.size() - from, 64));
  const std::string part = bytes.substr(from, length);
  const std::size_t times = below(8) == 0 ? 1 + below(100) : 1;
  const std::size_t to = below(bytes.size() + 1);
  for (std::size_t i = 0; i < times && bytes.size() < kMostBytes; ++i) bytes.insert(to, part);
}

void Mutator::change(std::string& bytes) {
  if (bytes.empty()) bytes = "x";
  const std::size_t at = below(bytes.size());
  switch (below(8)) {
    case 0:
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
      break;
    case 1:
      bytes[at] = static_cast<char>(draw());
      break;
    case 2:
      bytes.erase(at, 1 + below(32));
      break;
    case 3:
      bytes.resize(at);
      break;
    case 4:
      move_part(bytes);
      break;
    case 5:
      change_number(bytes);
      break;
    default:
      if (words_.empty()) return;
      if (const std::string& word = words_[below(words_.size())]; below(2) == 0) {
        bytes.insert(at, word);
      } else {
        bytes.replace(at, word.size(), word);
      }
  }
}

std::string Mutator::next() {
  std::string bytes = seeds_[below(seeds_.size())];
  if (below(8) == 0) {
    const std::string& other = seeds_[below(seeds_.size())];
    bytes = bytes.substr(0, below(bytes.size() + 1)) + other.substr(below(other.size() + 1));
  }
  for (std::size_t changes = 1 + below(4); changes > 0; --changes) change(bytes);
  return bytes;
}

}  // namespace lathe::fuzz
