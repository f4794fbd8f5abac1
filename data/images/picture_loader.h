#pragma once
// Pictures in a counter-based order, as data/pipeline/loader.h has rows: row n of the endless order is a
// function of (seed, n) alone, the same for any number of ranks, workers and micro-batches. Nothing is
// stored, so a seek costs nothing.
//   shuffled:  epoch n / R of all R rows, row Permutation(R, seed, epoch)(n % R)
//   else:      rows as stored, again from the start after the last
// A picture has a row an epoch for each of its variants (crops, mirrored) and each repeat of its source.
//
// Buckets: rows come in groups of `group` = global_batch_size, each of one size. Group k belongs to the
// bucket that Mixing (data/pipeline/mixing.h) gives it by the buckets' shares R_b / R, as its group number m;
// its rows are m * group ... of the bucket's own endless order, with seed_b = seed + b * 0x9E3779B97F4A7C15.
// So every picture is seen equally often in the long run (within an epoch to one group a bucket), none is
// left out, and none is padded.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/images/prepare_pictures.h"
#include "data/shards/picture_shard.h"

namespace lathe {

struct PictureBatch {
  std::vector<float> pixels = {};  // (B, channels, height, width), -1 .. 1: value / 32767.5 - 1
  std::vector<float> masks = {};   // (B, height, width), 0 .. 1: weight in the loss; empty: everywhere 1
  std::int64_t count = 0, channels = 0, height = 0, width = 0;
  std::vector<std::uint64_t> ids = {};      // B: picture_id() of each, for noise
  std::vector<std::uint64_t> visits = {};   // B: how often this variant was seen before
  std::vector<std::uint32_t> sources = {};  // B: index into data.train
  std::vector<std::string> captions = {};   // B
};

// The number of a picture in its set, variants of one picture (crops, mirrored) apart in the bits from 40 on.
inline std::uint64_t picture_id(std::uint64_t number, std::uint64_t crop, bool mirrored) {
  return number + ((2 * crop + (mirrored ? 1 : 0)) << 40);
}
// Which picture it is a variant of.
inline std::uint64_t picture_number(std::uint64_t id) { return id & ((std::uint64_t{1} << 40) - 1); }

// What row n shows, without its pixels.
struct PreviewRow {
  std::uint64_t id = 0;  // picture_id()
  std::string name;
  std::uint64_t crop = 0;
  bool mirrored = false;
};

class PictureLoader {
 public:
  // Error when a shard cannot be read. `group`: rows that must be of one size; a set of one size has the same
  // order under any group.
  PictureLoader(const PictureSet& set, std::uint64_t seed, bool shuffle = true, std::int64_t group = 1);
  std::uint64_t rows_per_epoch() const;
  // Rows [first, first + count) of the endless order. Thread-safe. Error when they are of several sizes:
  // shuffled, when they cross a group.
  PictureBatch read(std::uint64_t first, std::int64_t count) const;
  // How many rows from `first` on, at most `most`, are of one size: what may be read at once.
  std::int64_t rows_of_one_size(std::uint64_t first, std::int64_t most) const;
  PreviewRow preview(std::uint64_t n) const;
  std::vector<PictureSize> sizes() const;  // of the buckets; one without them

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace lathe
