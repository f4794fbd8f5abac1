#include "data/images/picture_loader.h"

#include <algorithm>
#include <optional>

#include "data/pipeline/mixing.h"
#include "data/random/permutation.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

// The part that holds `value`: starts[part] <= value < starts[part + 1].
std::size_t part_of(const std::vector<std::uint64_t>& starts, std::uint64_t value) {
  return static_cast<std::size_t>(std::upper_bound(starts.begin(), starts.end(), value) - starts.begin()) - 1;
}

// (height, width, channels) -> (channels, height, width), scaled.
void planes(std::span<const std::uint16_t> values, const PictureSize& size, bool mirrored, float* out) {
  const auto width = static_cast<std::size_t>(size.width), channels = static_cast<std::size_t>(size.channels);
  for (std::size_t c = 0; c < channels; ++c)
    for (std::size_t row = 0; row < static_cast<std::size_t>(size.height); ++row)
      for (std::size_t x = 0; x < width; ++x) {
        const std::size_t from = row * width + (mirrored ? width - 1 - x : x);
        *out++ = static_cast<float>(values[from * channels + c] / 32767.5 - 1);
      }
}

// A row of an epoch: a stored picture, mirrored or not, the n-th of its repeats.
struct Row {
  const PictureShard* shard = nullptr;
  std::uint64_t index = 0;  // in the shard
  std::uint64_t repeat = 0, repeats = 1;
  bool mirrored = false;
};

// All pictures of one size.
struct Bucket {
  PictureSize size;
  std::vector<PictureShard> shards;
  std::vector<std::uint64_t> first_picture = {0};  // of each shard, then the total
  std::vector<std::uint64_t> first_row = {0};      // of each stored picture, then the total
  std::vector<std::uint32_t> repeats;              // of each stored picture
  std::uint64_t seed = 0;
  bool flip = false;

  std::uint64_t rows() const { return first_row.back(); }
  void add(const PictureShard& shard, const std::vector<std::uint32_t>& repeats_of_source);
  Row find(std::uint64_t row) const;
};

void Bucket::add(const PictureShard& shard, const std::vector<std::uint32_t>& repeats_of_source) {
  shards.push_back(shard);
  first_picture.push_back(first_picture.back() + shard.pictures());
  for (std::uint64_t i = 0; i < shard.pictures(); ++i) {
    const std::uint16_t source = shard.picture(i).source;
    repeats.push_back(source < repeats_of_source.size() ? repeats_of_source[source] : 1);
    first_row.push_back(first_row.back() + repeats.back() * (flip ? 2u : 1u));
  }
}

Row Bucket::find(std::uint64_t row) const {
  const std::size_t picture = part_of(first_row, row), shard = part_of(first_picture, picture);
  const std::uint64_t inside = row - first_row[picture];
  return {.shard = &shards[shard],
          .index = picture - first_picture[shard],
          .repeat = flip ? inside / 2 : inside,
          .repeats = repeats[picture],
          .mirrored = flip && inside % 2 == 1};
}

// Row number `place` of epoch `epoch` of one bucket.
struct Position {
  const Bucket* bucket = nullptr;
  std::uint64_t epoch = 0, place = 0;
};

Row row_at(const Position& position, bool shuffle) {
  const Bucket& bucket = *position.bucket;
  const std::uint64_t place = position.place;
  return bucket.find(shuffle ? Permutation(bucket.rows(), bucket.seed, position.epoch)(place) : place);
}

void fill(PictureBatch& batch, std::size_t slot, const Position& position, bool shuffle) {
  const Bucket& bucket = *position.bucket;
  const Row row = row_at(position, shuffle);
  const PictureShard& shard = *row.shard;
  const StoredPicture stored = shard.picture(row.index);
  planes(shard.pixels(row.index), bucket.size, row.mirrored, &batch.pixels[slot * bucket.size.values()]);
  if (!batch.masks.empty()) {
    const PictureSize flat{bucket.size.width, bucket.size.height, 1};
    float* mask = &batch.masks[slot * flat.values()];
    planes(shard.mask(row.index), flat, row.mirrored, mask);
    for (std::uint64_t i = 0; i < flat.values(); ++i) mask[i] = (mask[i] + 1) / 2;
  }
  batch.ids[slot] = picture_id(stored.number, stored.crop, row.mirrored);
  batch.visits[slot] = position.epoch * row.repeats + row.repeat;
  batch.sources[slot] = stored.source;
  batch.captions[slot] = stored.caption;
}

}  // namespace

struct PictureLoader::State {
  std::vector<Bucket> buckets;
  std::vector<std::uint64_t> first_row = {0};  // of each bucket, then the total
  std::optional<Mixing> mixing;                // of the groups, when there are several buckets
  std::uint64_t group = 1;
  bool shuffle = true, masks = false;

  Position position(std::uint64_t n) const;
  std::uint64_t rows_left_of_one_size(std::uint64_t n) const;
};

PictureLoader::PictureLoader(const PictureSet& set, std::uint64_t seed, bool shuffle, std::int64_t group) {
  const auto state = std::make_shared<State>();
  require(!set.shards.empty(), "the set of pictures '", set.name, "' has no shard");
  require(group >= 1, "groups of ", group, " rows were asked for");
  state->group = static_cast<std::uint64_t>(group);
  state->shuffle = shuffle;
  for (const std::string& path : set.shards) {
    const PictureShard shard(path, ShardTrust::Own);
    auto& buckets = state->buckets;
    if (buckets.empty() || !(buckets.back().size == shard.size())) {
      Bucket& bucket = buckets.emplace_back();
      bucket.size = shard.size();
      bucket.seed = seed + (buckets.size() - 1) * 0x9E3779B97F4A7C15ull;
      bucket.flip = set.flip;
    }
    if (path == set.shards.front()) state->masks = shard.has_masks();
    require(shard.has_masks() == state->masks, path, ": either all shards of a set have masks or none");
    buckets.back().add(shard, set.repeats);
  }
  std::vector<double> shares;
  for (const Bucket& bucket : state->buckets) {
    state->first_row.push_back(state->first_row.back() + bucket.rows());
    shares.push_back(static_cast<double>(bucket.rows()));
  }
  if (shuffle && shares.size() > 1) state->mixing.emplace(shares);
  state_ = state;
}

Position PictureLoader::State::position(std::uint64_t n) const {
  if (!mixing) {
    const std::uint64_t rows = first_row.back(), epoch = n / rows, place = n % rows;
    const std::size_t bucket = part_of(first_row, place);
    return {&buckets[bucket], epoch, place - first_row[bucket]};
  }
  const MixedRow mixed = mixing->row(n / group);
  const Bucket& bucket = buckets[mixed.source];
  const std::uint64_t own = mixed.index * group + n % group;
  return {&bucket, own / bucket.rows(), own % bucket.rows()};
}

std::uint64_t PictureLoader::State::rows_left_of_one_size(std::uint64_t n) const {
  if (buckets.size() == 1) return ~std::uint64_t{0};
  if (mixing) return group - n % group;
  const std::uint64_t place = n % first_row.back();
  return first_row[part_of(first_row, place) + 1] - place;
}

std::uint64_t PictureLoader::rows_per_epoch() const { return state_->first_row.back(); }

PreviewRow PictureLoader::preview(std::uint64_t n) const {
  const Row row = row_at(state_->position(n), state_->shuffle);
  const StoredPicture stored = row.shard->picture(row.index);
  return {picture_id(stored.number, stored.crop, row.mirrored), std::string(stored.name), stored.crop,
          row.mirrored};
}

std::vector<PictureSize> PictureLoader::sizes() const {
  std::vector<PictureSize> sizes;
  for (const Bucket& bucket : state_->buckets) sizes.push_back(bucket.size);
  return sizes;
}

std::int64_t PictureLoader::rows_of_one_size(std::uint64_t first, std::int64_t most) const {
  return static_cast<std::int64_t>(
      std::min(static_cast<std::uint64_t>(most), state_->rows_left_of_one_size(first)));
}

PictureBatch PictureLoader::read(std::uint64_t first, std::int64_t count) const {
  require(count >= 1, "a batch of ", count, " pictures was asked for");
  require(rows_of_one_size(first, count) == count, "rows ", first, " to ",
          first + static_cast<std::uint64_t>(count),
          " are pictures of several sizes (buckets); read them apart");
  const PictureSize& size = state_->position(first).bucket->size;
  const auto rows = static_cast<std::size_t>(count);
  PictureBatch batch;
  batch.count = count;
  batch.channels = size.channels;
  batch.height = size.height;
  batch.width = size.width;
  batch.pixels.resize(rows * size.values());
  if (state_->masks) batch.masks.resize(rows * static_cast<std::size_t>(size.width * size.height));
  batch.ids.resize(rows);
  batch.visits.resize(rows);
  batch.sources.resize(rows);
  batch.captions.resize(rows);
  for (std::size_t i = 0; i < rows; ++i) fill(batch, i, state_->position(first + i), state_->shuffle);
  return batch;
}

}  // namespace lathe
