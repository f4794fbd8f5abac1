#include "data/shards/picture_shard.h"

#include <atomic>

#include "data/io/hash.h"
#include "data/shards/mapped_arrays.h"
#include "data/shards/picture_layout.h"
#include "data/shards/probe.h"

namespace lathe {
namespace {

// Texts stored one after the other.
struct Texts {
  std::string_view all;
  std::span<const std::uint64_t> offsets;  // one more than texts
  std::string_view operator[](std::uint64_t i) const {
    return all.substr(offsets[i], offsets[i + 1] - offsets[i]);
  }
};

// HDF5's own words for damage name no remedy.
PictureLayout own_layout(const std::string& path) {
  try {
    return read_picture_layout(path);
  } catch (const Error& e) {
    fail(e.what(), kMadeAgain);
  }
}

}  // namespace

struct PictureShard::State {
  MappedFile file;
  PictureShardInfo info;
  PictureSize size;
  std::uint64_t pictures = 0;
  Bytes pixels, masks;
  Texts captions, names;
  std::span<const std::uint64_t> numbers, block_hashes;
  std::span<const std::uint16_t> crops, sources;
  std::unique_ptr<std::atomic<bool>[]> checked;  // one a block

  const std::string& path() const { return file.path(); }
  void find_pixels(const PictureLayout& layout);
  void find_index(const PictureLayout& layout);
  Texts texts(Bytes all, Bytes offsets, const char* name) const;
  void check_block(std::uint64_t block) const;
  // Checks what [begin, end) of pixels or masks touches.
  void check_blocks(std::uint64_t begin, std::uint64_t end, std::uint64_t first_block) const;
  std::span<const std::uint16_t> part(Bytes array, std::uint64_t index, std::uint64_t values,
                                      std::uint64_t first_block) const;
};

void PictureShard::State::find_pixels(const PictureLayout& layout) {
  require(file.size() == layout.file_size, path(), ": the file changed while it was being opened");
  size = layout.size;
  pictures = layout.pictures;
  constexpr std::int64_t kSide = 1 << 20;
  require(size.width >= 1 && size.width <= kSide && size.height >= 1 && size.height <= kSide &&
              (size.channels == 1 || size.channels == 3),
          path(), ": /pixels: ", size.width, " x ", size.height, " x ", size.channels,
          " is no size of pictures");
  pixels = array_bytes(file, layout.pixels, 2, "pixels");
  masks = array_bytes(file, layout.masks, 2, "masks");
  require(pictures >= 1 && pictures <= pixels.size() && pixels.size() == 2 * pictures * size.values(), path(),
          ": /pixels: wanted ", pictures, " pictures, found ", pixels.size(), " bytes");
  require(masks.empty() || masks.size() * static_cast<std::uint64_t>(size.channels) == pixels.size(), path(),
          ": /masks are of another size than /pixels");
}

Texts PictureShard::State::texts(Bytes all, Bytes offsets, const char* name) const {
  const Texts found{{reinterpret_cast<const char*>(all.data()), all.size()},
                    array_of<std::uint64_t>(offsets)};
  require(found.offsets.size() == pictures + 1 && found.offsets.front() == 0 &&
              found.offsets.back() == all.size(),
          path(), ": /", name, ": the offsets do not span the ", all.size(), " bytes of ", pictures,
          " pictures");
  for (std::uint64_t i = 0; i < pictures; ++i)
    require(found.offsets[i] <= found.offsets[i + 1], path(), ": /", name,
            ": an offset decreases at picture ", i);
  return found;
}

void PictureShard::State::find_index(const PictureLayout& layout) {
  const std::array<Bytes, 8> index = {array_bytes(file, layout.captions, 1, "captions"),
                                      array_bytes(file, layout.caption_offsets, 8, "caption_offsets"),
                                      array_bytes(file, layout.names, 1, "names"),
                                      array_bytes(file, layout.name_offsets, 8, "name_offsets"),
                                      array_bytes(file, layout.numbers, 8, "numbers"),
                                      array_bytes(file, layout.crops, 2, "crops"),
                                      array_bytes(file, layout.sources, 2, "sources"),
                                      array_bytes(file, layout.block_hashes, 8, "block_hashes")};
  require(picture_index_hash(layout, index) == layout.index_hash, path(),
          ": the index does not match its checksum", kMadeAgain);
  captions = texts(index[0], index[1], "captions");
  names = texts(index[2], index[3], "names");
  numbers = array_of<std::uint64_t>(index[4]);
  crops = array_of<std::uint16_t>(index[5]);
  sources = array_of<std::uint16_t>(index[6]);
  block_hashes = array_of<std::uint64_t>(index[7]);
  require(numbers.size() == pictures && crops.size() == pictures && sources.size() == pictures, path(),
          ": the index is not that of ", pictures, " pictures");
  const std::uint64_t blocks = blocks_of(pixels) + blocks_of(masks);
  require(block_hashes.size() == blocks, path(), ": /block_hashes: wanted ", blocks, " hashes, found ",
          block_hashes.size());
  checked = std::make_unique<std::atomic<bool>[]>(blocks);
}

void PictureShard::State::check_block(std::uint64_t block) const {
  if (checked[block].load(std::memory_order_acquire)) return;
  const bool of_pixels = block < blocks_of(pixels);
  const Bytes array = of_pixels ? pixels : masks;
  const std::uint64_t begin = (of_pixels ? block : block - blocks_of(pixels)) * kBlockBytes;
  const Bytes bytes = array.subspan(begin, std::min<std::uint64_t>(kBlockBytes, array.size() - begin));
  require(xxh3(bytes) == block_hashes[block], path(), ": bytes ", begin, " to ", begin + bytes.size(),
          " of /", of_pixels ? "pixels" : "masks", " do not match their checksum", kMadeAgain);
  checked[block].store(true, std::memory_order_release);
}

void PictureShard::State::check_blocks(std::uint64_t begin, std::uint64_t end,
                                       std::uint64_t first_block) const {
  for (std::uint64_t block = begin / kBlockBytes; block * kBlockBytes < end; ++block)
    check_block(first_block + block);
}

std::span<const std::uint16_t> PictureShard::State::part(Bytes array, std::uint64_t index,
                                                         std::uint64_t values,
                                                         std::uint64_t first_block) const {
  require(index < pictures, path(), ": picture ", index, " of ", pictures, " was asked for");
  check_blocks(2 * index * values, 2 * (index + 1) * values, first_block);
  return array_of<std::uint16_t>(array.subspan(2 * index * values, 2 * values));
}

PictureShard::PictureShard(const std::string& path, ShardTrust trust) {
  const PictureLayout layout = trust == ShardTrust::Own ? own_layout(path) : probe_picture_shard(path);
  const auto state = std::make_shared<State>();
  state->file = MappedFile(path);
  state->find_pixels(layout);
  state->find_index(layout);
  state->info = {layout.source_sha256, parse_json(layout.settings, path + ": attribute settings")};
  state_ = state;
}

const PictureShardInfo& PictureShard::info() const { return state_->info; }
const PictureSize& PictureShard::size() const { return state_->size; }
std::uint64_t PictureShard::pictures() const { return state_->pictures; }
bool PictureShard::has_masks() const { return !state_->masks.empty(); }

StoredPicture PictureShard::picture(std::uint64_t index) const {
  const State& s = *state_;
  require(index < s.pictures, s.path(), ": picture ", index, " of ", s.pictures, " was asked for");
  return {s.numbers[index], s.crops[index], s.sources[index], s.names[index], s.captions[index]};
}

std::span<const std::uint16_t> PictureShard::pixels(std::uint64_t index) const {
  return state_->part(state_->pixels, index, state_->size.values(), 0);
}

std::span<const std::uint16_t> PictureShard::mask(std::uint64_t index) const {
  require(has_masks(), state_->path(), ": the shard has no masks");
  const auto places = static_cast<std::uint64_t>(state_->size.width * state_->size.height);
  return state_->part(state_->masks, index, places, blocks_of(state_->pixels));
}

void PictureShard::verify() const {
  for (std::uint64_t block = 0; block < state_->block_hashes.size(); ++block) {
    state_->checked[block].store(false, std::memory_order_release);
    state_->check_block(block);
  }
}

}  // namespace lathe
