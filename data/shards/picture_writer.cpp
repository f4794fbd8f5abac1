#include "data/shards/picture_writer.h"

#include <unistd.h>

#include <bit>
#include <mutex>
#include <optional>

#include "data/io/mapped_file.h"
#include "data/shards/hdf5_arrays.h"
#include "data/shards/picture_layout.h"
#include "data/shards/scratch.h"

namespace lathe {
namespace {

static_assert(std::endian::native == std::endian::little);  // values are copied as they lie in memory

struct Texts {
  std::string all;
  std::vector<std::uint64_t> offsets = {0};
  void add(std::string_view text) {
    all += text;
    offsets.push_back(all.size());
  }
};

template <class T>
std::span<const std::byte> bytes_of(const T& values) {
  return std::as_bytes(std::span(values.data(), values.size()));
}

}  // namespace

struct PictureShardWriter::State {
  std::string path, suffix;
  PictureSize size;
  FileSystem& files;
  ScratchFile pixels;
  std::optional<ScratchFile> masks;
  Texts captions, names;
  std::vector<std::uint64_t> numbers;
  std::vector<std::uint16_t> crops, sources;

  State(std::string final_path, const PictureSize& picture_size, FileSystem& file_system)
      : path(std::move(final_path)),
        suffix(cat(".tmp-", getpid())),
        size(picture_size),
        files(file_system),
        pixels(path + ".pixels" + suffix) {}

  std::vector<Filling> write_skeleton(const std::string& skeleton, const PictureShardInfo& info);
  void write_index(hid_t file, const PictureShardInfo& info, const std::vector<std::uint64_t>& hashes);
};

PictureShardWriter::PictureShardWriter(std::string path, const PictureSize& size, FileSystem& files)
    : state_(std::make_unique<State>(std::move(path), size, files)) {}
PictureShardWriter::~PictureShardWriter() = default;

std::uint64_t PictureShardWriter::pictures() const { return state_->numbers.size(); }

void PictureShardWriter::add(const StoredPicture& picture, std::span<const std::uint16_t> pixels,
                             std::span<const std::uint16_t> mask) {
  State& s = *state_;
  const auto places = static_cast<std::size_t>(s.size.width * s.size.height);
  require(pixels.size() == s.size.values(), s.path, ": ", picture.name, ": ", pixels.size(),
          " values do not fill ", s.size.width, " x ", s.size.height, " x ", s.size.channels);
  require(mask.empty() || mask.size() == places, s.path, ": ", picture.name, ": the mask is of another size");
  require(s.numbers.empty() || mask.empty() == !s.masks, s.path, ": either every picture has a mask or none");
  if (!mask.empty() && !s.masks) s.masks.emplace(s.path + ".masks" + s.suffix);
  s.pixels.write(std::as_bytes(pixels));
  if (s.masks) s.masks->write(std::as_bytes(mask));
  s.captions.add(picture.caption);
  s.names.add(picture.name);
  s.numbers.push_back(picture.number);
  s.crops.push_back(picture.crop);
  s.sources.push_back(picture.source);
}

void PictureShardWriter::State::write_index(hid_t file, const PictureShardInfo& info,
                                            const std::vector<std::uint64_t>& hashes) {
  PictureLayout layout;
  layout.format = kPictureShardFormat;
  layout.version = kPictureShardVersion;
  layout.size = size;
  layout.pictures = numbers.size();
  layout.masks.count = masks ? numbers.size() * static_cast<std::uint64_t>(size.width * size.height) : 0;
  layout.source_sha256 = info.source_sha256;
  layout.settings = info.settings.dump();
  const std::array<std::span<const std::byte>, 8> index = {bytes_of(captions.all), bytes_of(captions.offsets),
                                                           bytes_of(names.all),    bytes_of(names.offsets),
                                                           bytes_of(numbers),      bytes_of(crops),
                                                           bytes_of(sources),      bytes_of(hashes)};
  layout.index_hash = picture_index_hash(layout, index);
  write_head(file, layout);

  const auto write = [&](const char* name, hid_t type, const auto& values) {
    write_array(file, {name, type, type, {values.size()}, values.data()}, path);
  };
  write("captions", H5T_STD_U8LE, captions.all);
  write("caption_offsets", H5T_STD_U64LE, captions.offsets);
  write("names", H5T_STD_U8LE, names.all);
  write("name_offsets", H5T_STD_U64LE, names.offsets);
  write("numbers", H5T_STD_U64LE, numbers);
  write("crops", H5T_STD_U16LE, crops);
  write("sources", H5T_STD_U16LE, sources);
  write("block_hashes", H5T_STD_U64LE, hashes);
}

// Pixels and masks are holes; says where.
std::vector<Filling> PictureShardWriter::State::write_skeleton(const std::string& skeleton,
                                                               const PictureShardInfo& info) {
  std::vector<std::uint64_t> hashes = hash_blocks(MappedFile(pixels.path()).bytes());
  if (masks) {
    const auto more = hash_blocks(MappedFile(masks->path()).bytes());
    hashes.insert(hashes.end(), more.begin(), more.end());
  }
  const std::lock_guard lock(hdf5_mutex());
  start_hdf5();
  H5Handle file = create_hdf5(skeleton);
  std::vector<hsize_t> dims = {numbers.size(), static_cast<hsize_t>(size.height),
                               static_cast<hsize_t>(size.width), static_cast<hsize_t>(size.channels)};
  std::vector<Filling> holes = {
      {write_array(file, {"pixels", H5T_STD_U16LE, H5T_STD_U16LE, dims, nullptr}, skeleton), pixels.path()}};
  if (masks) {
    dims.pop_back();
    holes.push_back(
        {write_array(file, {"masks", H5T_STD_U16LE, H5T_STD_U16LE, dims, nullptr}, skeleton), masks->path()});
  }
  write_index(file, info, hashes);
  file.close(skeleton + ": cannot be written");
  return holes;
}

void PictureShardWriter::finish(const PictureShardInfo& info) {
  State& s = *state_;
  require(!s.numbers.empty(), s.path, ": no picture was added, an empty shard is not written");
  s.pixels.close();
  if (s.masks) s.masks->close();
  const RemoveAtExit skeleton{s.path + ".skeleton" + s.suffix};
  publish_filled(skeleton.path, s.write_skeleton(skeleton.path, info), s.path, s.suffix, s.files);
}

}  // namespace lathe
