// An encoding shard of unknown origin: as for picture shards, and every item of what is accepted can be read.
#include "data/io/file_system.h"
#include "data/shards/encoding_shard.h"
#include "tests/fuzz/target.h"

namespace lathe::fuzz {
namespace {

void run(std::string_view bytes) {
  static const InputFolder folder;
  const EncodingShard shard(folder.put("x.h5", bytes));
  for (std::uint64_t i = 0; i < shard.items(); ++i) promise(shard.values(i).size() == shard.width());
  shard.verify();
}

std::string shard_of(std::uint64_t width, int items) {
  const InputFolder folder;
  const std::string path = folder.path() + "/seed.h5";
  EncodingShardWriter writer(path, width);
  const std::vector<float> values(width, 0.5F);
  for (int i = 0; i < items; ++i) writer.add(values);
  writer.finish({std::string(64, 'a'), Json{{"encoder", "a"}}});
  return read_file(path);
}

std::vector<std::string> seeds() { return {shard_of(5, 3), shard_of(1, 1), "\x89HDF\r\n\x1a\n", ""}; }

}  // namespace

Target encoding_shard_target() {
  return {"encoding_shard",
          run,
          seeds,
          {"TREE", "SNOD", "HEAP", "OHDR", "lathe-encodings", std::string(8, '\xff'), std::string(8, '\0'),
           std::string("\0\x10\0\0\0\0\0\0", 8)},
          300};
}

}  // namespace lathe::fuzz
