// A picture shard of unknown origin: as for token shards, and every caption, picture and mask of what is
// accepted can be read.
#include "data/io/file_system.h"
#include "data/shards/picture_shard.h"
#include "data/shards/picture_writer.h"
#include "tests/fuzz/target.h"

namespace lathe::fuzz {
namespace {

void run(std::string_view bytes) {
  static const InputFolder folder;
  const PictureShard shard(folder.put("x.h5", bytes));
  std::size_t letters = 0;
  for (std::uint64_t i = 0; i < shard.pictures(); ++i) {
    const StoredPicture picture = shard.picture(i);
    for (const char c : picture.caption) letters += c != '\0';
    for (const char c : picture.name) letters += c != '\0';
    promise(shard.pixels(i).size() == shard.size().values());
    if (shard.has_masks()) promise(!shard.mask(i).empty());
  }
  shard.verify();
}

std::string shard_of(const PictureSize& size, bool masks) {
  const InputFolder folder;
  const std::string path = folder.path() + "/seed.h5";
  PictureShardWriter writer(path, size);
  const std::vector<std::uint16_t> pixels(size.values(), 700);
  const std::vector<std::uint16_t> mask(masks ? static_cast<std::size_t>(size.width * size.height) : 0,
                                        65535);
  for (std::uint64_t i = 0; i < 3; ++i) writer.add({i, 0, 0, "a/b.png", "a red circle"}, pixels, mask);
  writer.finish({std::string(64, 'a'), Json::object()});
  return read_file(path);
}

std::vector<std::string> seeds() {
  return {shard_of({4, 3, 3}, false), shard_of({2, 2, 1}, true), "\x89HDF\r\n\x1a\n", ""};
}

}  // namespace

Target picture_shard_target() {
  return {"picture_shard",
          run,
          seeds,
          {"TREE", "SNOD", "HEAP", "OHDR", "lathe-pictures", std::string(8, '\xff'), std::string(8, '\0'),
           std::string("\0\x10\0\0\0\0\0\0", 8)},
          300};
}

}  // namespace lathe::fuzz
