#pragma once
// Pictures in a counter-based order, as data/pipeline/loader.h has rows: row n of the endless order is a
// function of (seed, n) alone, the same for any number of ranks, workers and micro-batches. Nothing is
// stored, so a seek costs nothing.
//   shuffled:  epoch n / R of all R rows, row Permutation(R, seed, epoch)(n % R)
//   else:      rows as stored, again from the start after the last
// A picture has a row an epoch for each of its variants (crops, mirrored) and each repeat of its source.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/images/prepare_pictures.h"

namespace lathe {

struct PictureBatch {
  std::vector<float> pixels = {};  // (B, channels, height, width), -1 .. 1: value / 32767.5 - 1
  std::int64_t count = 0, channels = 0, height = 0, width = 0;
  std::vector<std::uint64_t> ids = {};     // B: picture_id() of each, for noise
  std::vector<std::uint64_t> visits = {};  // B: how often this variant was seen before
  std::vector<std::string> captions = {};  // B
};

// The number of a picture in its set, variants of one picture (crops, mirrored) apart in the bits from 40 on.
inline std::uint64_t picture_id(std::uint64_t number, std::uint64_t crop, bool mirrored) {
  return number + ((2 * crop + (mirrored ? 1 : 0)) << 40);
}

class PictureLoader {
 public:
  // Error when a shard cannot be read.
  PictureLoader(const PictureSet& set, std::uint64_t seed, bool shuffle = true);
  std::uint64_t rows_per_epoch() const;
  // Rows [first, first + count) of the endless order. Thread-safe.
  PictureBatch read(std::uint64_t first, std::int64_t count) const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace lathe
