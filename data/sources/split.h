#pragma once
// Which documents are held out for validation: a function of their contents alone, not of names, order or
// machine, so that adding documents moves few from one side to the other.
#include <cstdint>
#include <string_view>
#include <vector>

#include "data/io/hash.h"

namespace lathe {

struct DocumentKey {
  Sha256Digest sha256{};    // of the text
  std::uint64_t bytes = 0;  // of the text
  std::uint32_t group = 0;  // documents of one group (near_duplicates.h) stay together
};

// True for documents held out: whole groups in the order of their smallest SHA-256 until `share` of all bytes
// is reached (so at least that much). Equal documents count as one group. A group of several that is larger
// than the share asked for stays with training. Error when nothing would be left to train on or to hold out.
std::vector<bool> validation_split(const std::vector<DocumentKey>& documents, double share);

// Where whole documents cannot give about the share (none would be left on one side, or more than twice the
// share would be held out: one large file, two of the same size): how many bytes of each document's end are
// held out instead. Those longer than the share are cut, all by the same fraction, so that the sum is the
// share; the others stay with training, as do some of them where the ends of all would be a few bytes each.
// Empty when whole documents serve, or when no document stands alone:
// the ends of near-duplicates are in the others.
std::vector<std::uint64_t> held_out_tails(const std::vector<DocumentKey>& documents, double share);

// Where a tail of about `wanted` bytes begins: after the nearest blank line within a quarter of what it may
// be moved, else after the nearest line end, else after a space, else between two characters (UTF-8). Inside
// (0, text.size()); the text has at least two characters.
std::size_t tail_begin(std::string_view text, std::uint64_t wanted);

}  // namespace lathe
