#include "data/images/picture_loader.h"

#include <algorithm>

#include "data/random/permutation.h"
#include "data/shards/picture_shard.h"

namespace lathe {

namespace {

// A row of an epoch: a stored picture, mirrored or not, the n-th of its repeats.
struct Row {
  std::size_t shard = 0;
  std::uint64_t index = 0;
  std::uint64_t repeat = 0, repeats = 1;
  bool mirrored = false;
};

// (height, width, channels) -> (channels, height, width), -1 .. 1.
void planes(std::span<const std::uint16_t> values, const PictureSize& size, bool mirrored, float* out) {
  const auto width = static_cast<std::size_t>(size.width), channels = static_cast<std::size_t>(size.channels);
  for (std::size_t c = 0; c < channels; ++c)
    for (std::size_t row = 0; row < static_cast<std::size_t>(size.height); ++row)
      for (std::size_t x = 0; x < width; ++x) {
        const std::size_t from = row * width + (mirrored ? width - 1 - x : x);
        *out++ = static_cast<float>(values[from * channels + c] / 32767.5 - 1);
      }
}

}  // namespace

struct PictureLoader::State {
  std::vector<PictureShard> shards;
  std::vector<std::uint64_t> first_picture = {0};  // of each shard, then the total
  std::vector<std::uint64_t> first_row = {0};      // of each stored picture, then the total
  std::vector<std::uint32_t> repeats;              // of each stored picture
  std::uint64_t seed = 0;
  bool shuffle = true, flip = false;

  void add_shard(const PictureSet& set, const std::string& path);
  std::uint64_t rows() const { return first_row.back(); }
  Row find(std::uint64_t row) const;
  // Into row `slot` of the batch: row n of the order.
  void fill(PictureBatch& batch, std::size_t slot, std::uint64_t n) const;
};

void PictureLoader::State::add_shard(const PictureSet& set, const std::string& path) {
  const PictureShard& shard = shards.emplace_back(path, ShardTrust::Own);
  require(shard.size() == shards.front().size(), path, ": its pictures have another size than those of ",
          set.shards.front());
  first_picture.push_back(first_picture.back() + shard.pictures());
  for (std::uint64_t i = 0; i < shard.pictures(); ++i) {
    const std::uint16_t source = shard.picture(i).source;
    repeats.push_back(source < set.repeats.size() ? set.repeats[source] : 1);
    first_row.push_back(first_row.back() + repeats.back() * (flip ? 2u : 1u));
  }
}

Row PictureLoader::State::find(std::uint64_t row) const {
  const auto index_in = [](const std::vector<std::uint64_t>& starts, std::uint64_t value) {
    return static_cast<std::size_t>(std::upper_bound(starts.begin(), starts.end(), value) - starts.begin()) -
           1;
  };
  const std::size_t picture = index_in(first_row, row), shard = index_in(first_picture, picture);
  const std::uint64_t inside = row - first_row[picture];
  return {.shard = shard,
          .index = picture - first_picture[shard],
          .repeat = flip ? inside / 2 : inside,
          .repeats = repeats[picture],
          .mirrored = flip && inside % 2 == 1};
}

PictureLoader::PictureLoader(const PictureSet& set, std::uint64_t seed, bool shuffle) {
  const auto state = std::make_shared<State>();
  require(!set.shards.empty(), "the set of pictures '", set.name, "' has no shard");
  state->seed = seed;
  state->shuffle = shuffle;
  state->flip = set.flip;
  for (const std::string& path : set.shards) state->add_shard(set, path);
  state_ = state;
}

std::uint64_t PictureLoader::rows_per_epoch() const { return state_->rows(); }

void PictureLoader::State::fill(PictureBatch& batch, std::size_t slot, std::uint64_t n) const {
  const std::uint64_t epoch = n / rows(), place = n % rows();
  const Row row = find(shuffle ? Permutation(rows(), seed, epoch)(place) : place);
  const PictureShard& shard = shards[row.shard];
  const StoredPicture stored = shard.picture(row.index);
  planes(shard.pixels(row.index), shard.size(), row.mirrored, &batch.pixels[slot * shard.size().values()]);
  batch.ids[slot] = picture_id(stored.number, stored.crop, row.mirrored);
  batch.visits[slot] = epoch * row.repeats + row.repeat;
  batch.captions[slot] = stored.caption;
}

PictureBatch PictureLoader::read(std::uint64_t first, std::int64_t count) const {
  require(count >= 1, "a batch of ", count, " pictures was asked for");
  const PictureSize& size = state_->shards.front().size();
  const auto rows = static_cast<std::size_t>(count);
  PictureBatch batch;
  batch.count = count;
  batch.channels = size.channels;
  batch.height = size.height;
  batch.width = size.width;
  batch.pixels.resize(rows * size.values());
  batch.ids.resize(rows);
  batch.visits.resize(rows);
  batch.captions.resize(rows);
  for (std::size_t i = 0; i < rows; ++i) state_->fill(batch, i, first + i);
  return batch;
}

}  // namespace lathe
