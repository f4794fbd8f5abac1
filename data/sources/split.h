#pragma once
// Which documents are held out for validation: a function of their contents alone, not of names, order or machine, so
// that adding documents moves few from one side to the other.
#include <cstdint>
#include <string>
#include <vector>

namespace lathe {

struct DocumentKey {
  std::string sha256;         // of the text: 64 lower-case digits
  std::uint64_t bytes = 0;    // of the text
  std::uint32_t group = 0;    // documents of one group (near_duplicates.h) stay together
};

// True for documents held out: whole groups in the order of their smallest SHA-256 until `share` of all bytes is reached
// (so at least that much). Equal documents count as one group. A group of several that is larger than the share asked for
// stays with training. Error when nothing would be left to train on or to hold out.
std::vector<bool> validation_split(const std::vector<DocumentKey>& documents, double share);

}  // namespace lathe
