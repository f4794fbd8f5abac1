// Picture shards: what is written is read back; damage and crafted structure give one Error that names the
// file.
#include <hdf5.h>

#include <algorithm>

#include "data/shards/picture_shard.h"
#include "data/shards/picture_writer.h"
#include "data/shards/probe.h"
#include "tests/unit/data/shards/crafted.h"
#include "tests/unit/data/shards/support.h"

using namespace lathe;
using testing::contains_text;

namespace {

struct Sample {
  std::vector<std::uint16_t> pixels, mask;
  std::string name, caption;
};

// Two pictures of 3 x 2, the second without a caption.
const std::vector<Sample> kSamples = {
    {{1, 2, 3, 4, 5, 65535}, {0, 0, 0, 65535, 65535, 65535}, "set/a.png", "un caf\xC3\xA9"},
    {{60, 50, 40, 30, 20, 10}, {65535, 1, 2, 3, 4, 5}, "set/b.png", ""}};

void write_samples(const std::string& path, bool masks) {
  PictureShardWriter writer(path, {3, 2, 1});
  for (std::size_t i = 0; i < kSamples.size(); ++i) {
    const Sample& sample = kSamples[i];
    const StoredPicture stored{.number = 7 + i,
                               .crop = static_cast<std::uint16_t>(i),
                               .source = 2,
                               .name = sample.name,
                               .caption = sample.caption};
    if (masks)
      writer.add(stored, sample.pixels, sample.mask);
    else
      writer.add(stored, sample.pixels);
  }
  CHECK(writer.pictures() == 2);
  writer.finish({"abc", {{"width", 3}}});
}

bool is_sample(const PictureShard& shard, std::size_t i) {
  const StoredPicture stored = shard.picture(i);
  return std::ranges::equal(shard.pixels(i), kSamples[i].pixels) && stored.caption == kSamples[i].caption &&
         stored.name == kSamples[i].name && stored.number == 7 + i && stored.crop == i &&
         stored.source == 2 && (!shard.has_masks() || std::ranges::equal(shard.mask(i), kSamples[i].mask));
}

// "" when the shard gives the samples back, "other" when it gives others; else the Error's text, which must
// name the file.
std::string complaint(const std::string& path) {
  try {
    const PictureShard shard(path);
    shard.verify();
    return shard.pictures() == 2 && is_sample(shard, 0) && is_sample(shard, 1) ? "" : "other";
  } catch (const Error& error) {
    INFO(error.what());
    CHECK(std::string_view(error.what()).starts_with(path));
    return error.what();
  }
}

// A whole shard with one thing changed through HDF5 itself.
std::string spoiled(const std::function<void(hid_t)>& spoil) {
  const TemporaryFolder folder;
  write_samples(folder / "a.h5", false);
  const hid_t file = H5Fopen((folder / "a.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  testing::hdf5_ok(file);
  spoil(file);
  testing::hdf5_ok(H5Fclose(file));
  return complaint(folder / "a.h5");
}

template <class T>
std::function<void(hid_t)> replaced(const char* name, hid_t type, std::vector<T> values) {
  return [=](hid_t file) {
    testing::hdf5_ok(H5Ldelete(file, name, H5P_DEFAULT));
    testing::craft_array(file, name, type, values);
  };
}

}  // namespace

TEST_CASE("pictures, masks, captions and names are read back as they were written") {
  const TemporaryFolder folder;
  for (const bool masks : {false, true}) {
    write_samples(folder / "a.h5", masks);
    CHECK(complaint(folder / "a.h5").empty());
    CHECK(probe_shard_format(folder / "a.h5") == kPictureShardFormat);
    const PictureShard own(folder / "a.h5", ShardTrust::Own);
    CHECK(own.size() == PictureSize{3, 2, 1});
    CHECK(own.has_masks() == masks);
    CHECK(own.info().source_sha256 == "abc");
    CHECK(own.info().settings.at("width") == 3);
    CHECK_THROWS_WITH(own.pixels(2), contains_text("picture 2 of 2"));
    if (!masks) CHECK_THROWS_WITH(own.mask(0), contains_text("no masks"));
    const std::string bytes = read_bytes(folder / "a.h5");
    write_samples(folder / "again.h5", masks);
    CHECK(read_bytes(folder / "again.h5") == bytes);
  }
}

TEST_CASE("what does not fit a picture shard is refused when it is written") {
  const TemporaryFolder folder;
  {
    PictureShardWriter writer(folder / "a.h5", {3, 2, 1});
    CHECK_THROWS_WITH(writer.finish({}), contains_text("no picture was added"));
    CHECK_THROWS_WITH(writer.add({}, std::vector<std::uint16_t>(5)), contains_text("do not fill 3 x 2 x 1"));
    writer.add({}, kSamples[0].pixels);
    CHECK_THROWS_WITH(writer.add({}, kSamples[0].pixels, kSamples[0].mask),
                      contains_text("every picture has a mask or none"));
  }
  CHECK(std::filesystem::is_empty(folder.path()));  // the scratch file went too
}

TEST_CASE("crafted structures of picture shards are refused by name") {
  CHECK(spoiled([](hid_t) {}).empty());
  CHECK_THAT(spoiled(replaced<std::uint16_t>("pixels", H5T_STD_U16LE, {1, 2, 3, 4, 5, 6})),
             contains_text("/pixels: wanted 4 dimension(s), found 1"));
  CHECK_THAT(spoiled(replaced<std::uint64_t>("numbers", H5T_STD_U64LE, {7, 9})), contains_text("checksum"));
  CHECK_THAT(spoiled(replaced<std::uint64_t>("caption_offsets", H5T_STD_U64LE, {0, 99, 8})),
             contains_text("checksum"));
  CHECK_THAT(spoiled(replaced<std::uint8_t>("captions", H5T_STD_U8LE, {1, 2})), contains_text("checksum"));
  CHECK_THAT(spoiled([](hid_t f) { H5Ldelete(f, "sources", H5P_DEFAULT); }),
             contains_text("/sources: the dataset is missing"));
  CHECK_THAT(spoiled([](hid_t f) {
               H5Ldelete(f, "pixels", H5P_DEFAULT);
               H5Lcreate_external("/etc/passwd", "/x", f, "pixels", H5P_DEFAULT, H5P_DEFAULT);
             }),
             contains_text("soft or external link"));
  CHECK_THAT(spoiled([](hid_t f) {
               H5Adelete(f, "format");
               testing::craft_text(f, "format", "lathe-tokens");
             }),
             contains_text("wanted format 'lathe-pictures'"));
}

TEST_CASE("cut or flipped bytes of a picture shard are refused or change nothing") {
  const TemporaryFolder folder;
  write_samples(folder / "a.h5", true);
  const std::string whole = read_bytes(folder / "a.h5");
  int accepted = 0;
  for (std::size_t size = 0; size < whole.size(); size += 512) {
    const std::string_view next = std::string_view(whole).substr(size, 512);
    if (size > 0 && next.find_first_not_of('\0') == next.npos) continue;  // holes between arrays
    write_text(folder / "cut.h5", whole.substr(0, size));
    accepted += complaint(folder / "cut.h5").empty() ? 1 : 0;
  }
  CHECK(accepted == 0);
  std::vector<std::size_t> stored;
  for (std::size_t at = 0; at < whole.size(); ++at)
    if (whole[at] != 0) stored.push_back(at);
  int wrong = 0, refused = 0;
  for (std::size_t i = 0; i < stored.size(); i += stored.size() / 200 + 1) {
    std::string bytes = whole;
    bytes[stored[i]] = static_cast<char>(bytes[stored[i]] ^ 0x10);
    write_text(folder / "flip.h5", bytes);
    const std::string text = complaint(folder / "flip.h5");
    wrong += text == "other" ? 1 : 0;
    refused += text.empty() ? 0 : 1;
  }
  CHECK(wrong == 0);
  CHECK(refused > 50);
}
