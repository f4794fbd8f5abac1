#include "data/shards/encoding_shard.h"

#include <unistd.h>

#include <atomic>
#include <bit>
#include <mutex>

#include "data/io/hash.h"
#include "data/shards/encoding_layout.h"
#include "data/shards/hdf5_arrays.h"
#include "data/shards/mapped_arrays.h"
#include "data/shards/probe.h"
#include "data/shards/scratch.h"

namespace lathe {

static_assert(std::endian::native == std::endian::little);  // values are copied as they lie in memory

struct EncodingShard::State {
  MappedFile file;
  EncodingShardInfo info;
  std::uint64_t items = 0, width = 0;
  Bytes values;
  std::span<const std::uint64_t> block_hashes;
  std::unique_ptr<std::atomic<bool>[]> checked;  // one a block

  void check_block(std::uint64_t block) const;
};

void EncodingShard::State::check_block(std::uint64_t block) const {
  if (checked[block].load(std::memory_order_acquire)) return;
  const std::uint64_t begin = block * kBlockBytes;
  const Bytes bytes = values.subspan(begin, std::min<std::uint64_t>(kBlockBytes, values.size() - begin));
  require(xxh3(bytes) == block_hashes[block], file.path(), ": bytes ", begin, " to ", begin + bytes.size(),
          " of /values do not match their checksum", kMadeAgain);
  checked[block].store(true, std::memory_order_release);
}

EncodingShard::EncodingShard(const std::string& path, ShardTrust trust) {
  const EncodingLayout layout =
      trust == ShardTrust::Own ? read_encoding_layout(path) : probe_encoding_shard(path);
  const auto state = std::make_shared<State>();
  state->file = MappedFile(path);
  const MappedFile& file = state->file;
  require(file.size() == layout.file_size, path, ": the file changed while it was being opened");
  state->items = layout.items;
  state->width = layout.width;
  state->values = array_bytes(file, layout.values, sizeof(float), "values");
  const std::uint64_t count = state->values.size() / sizeof(float);
  require(layout.items >= 1 && layout.width >= 1 && layout.items <= count && count % layout.items == 0 &&
              count / layout.items == layout.width,
          path, ": /values: wanted ", layout.items, " items of ", layout.width, " values, found ", count);
  const Bytes hashes = array_bytes(file, layout.block_hashes, 8, "block_hashes");
  require(encoding_index_hash(layout, hashes) == layout.index_hash, path,
          ": the index does not match its checksum", kMadeAgain);
  state->block_hashes = array_of<std::uint64_t>(hashes);
  const std::uint64_t blocks = blocks_of(state->values);
  require(state->block_hashes.size() == blocks, path, ": /block_hashes: wanted ", blocks, " hashes, found ",
          state->block_hashes.size());
  state->checked = std::make_unique<std::atomic<bool>[]>(blocks);
  state->info = {layout.source_sha256, parse_json(layout.settings, path + ": attribute settings")};
  state_ = state;
}

const EncodingShardInfo& EncodingShard::info() const { return state_->info; }
std::uint64_t EncodingShard::items() const { return state_->items; }
std::uint64_t EncodingShard::width() const { return state_->width; }

std::span<const float> EncodingShard::values(std::uint64_t item) const {
  const State& s = *state_;
  require(item < s.items, s.file.path(), ": item ", item, " of ", s.items, " was asked for");
  const std::uint64_t bytes = s.width * sizeof(float), begin = item * bytes;
  for (std::uint64_t block = begin / kBlockBytes; block * kBlockBytes < begin + bytes; ++block)
    s.check_block(block);
  return array_of<float>(s.values.subspan(begin, bytes));
}

void EncodingShard::verify() const {
  for (std::uint64_t block = 0; block < state_->block_hashes.size(); ++block) {
    state_->checked[block].store(false, std::memory_order_release);
    state_->check_block(block);
  }
}

struct EncodingShardWriter::State {
  std::string path, suffix;
  std::uint64_t width, items = 0;
  FileSystem& files;
  ScratchFile values;

  State(std::string final_path, std::uint64_t width_of_item, FileSystem& file_system)
      : path(std::move(final_path)),
        suffix(cat(".tmp-", getpid())),
        width(width_of_item),
        files(file_system),
        values(path + ".values" + suffix) {}

  std::vector<Filling> write_skeleton(const std::string& skeleton, const EncodingShardInfo& info) const;
};

EncodingShardWriter::EncodingShardWriter(std::string path, std::uint64_t width, FileSystem& files)
    : state_(std::make_unique<State>(std::move(path), width, files)) {}
EncodingShardWriter::~EncodingShardWriter() = default;

void EncodingShardWriter::add(std::span<const float> values) {
  require(values.size() == state_->width, state_->path, ": an item of ", values.size(), " values, wanted ",
          state_->width);
  state_->values.write(std::as_bytes(values));
  ++state_->items;
}

// Values are a hole; says where.
std::vector<Filling> EncodingShardWriter::State::write_skeleton(const std::string& skeleton,
                                                                const EncodingShardInfo& info) const {
  const std::vector<std::uint64_t> hashes = hash_blocks(MappedFile(values.path()).bytes());
  EncodingLayout layout;
  layout.format = kEncodingShardFormat;
  layout.version = kEncodingShardVersion;
  layout.items = items;
  layout.width = width;
  layout.source_sha256 = info.source_sha256;
  layout.settings = info.settings.dump();
  const std::lock_guard lock(hdf5_mutex());
  start_hdf5();
  H5Handle file = create_hdf5(skeleton);
  layout.index_hash = encoding_index_hash(layout, std::as_bytes(std::span(hashes)));
  write_head(file, layout);
  const std::uint64_t hole =
      write_array(file, {"values", H5T_IEEE_F32LE, H5T_IEEE_F32LE, {items, width}, nullptr}, skeleton);
  write_array(file, {"block_hashes", H5T_STD_U64LE, H5T_STD_U64LE, {hashes.size()}, hashes.data()}, skeleton);
  file.close(skeleton + ": cannot be written");
  return {{hole, values.path()}};
}

void EncodingShardWriter::finish(const EncodingShardInfo& info) {
  State& s = *state_;
  require(s.items > 0, s.path, ": nothing was added, an empty shard is not written");
  s.values.close();
  const RemoveAtExit skeleton{s.path + ".skeleton" + s.suffix};
  publish_filled(skeleton.path, s.write_skeleton(skeleton.path, info), s.path, s.suffix, s.files);
}

}  // namespace lathe
