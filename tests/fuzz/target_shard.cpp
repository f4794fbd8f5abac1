// A token shard of unknown origin: HDF5 opens it in a limited child process, everything the child answers is
// checked, and all tokens and rows of what is accepted can be read.
#include <fstream>
#include <iterator>

#include "data/shards/layout.h"
#include "data/shards/shard.h"
#include "data/shards/writer.h"
#include "tests/fuzz/target.h"
#include "tests/unit/data/shards/crafted.h"

namespace lathe::fuzz {
namespace {

void read_all(const TokenShard& shard) {
  std::vector<std::int32_t> ids;
  for (std::uint64_t d = 0; d < shard.documents(); ++d) {
    ids.resize(shard.document_length(d));
    shard.read(d, 0, ids);
    for (const std::int32_t id : ids)
      promise(id >= 0 && static_cast<std::uint64_t>(id) < shard.info().vocab_size);
  }
  for (std::uint64_t r = 0; r < shard.rows(); ++r) promise(!shard.row(r).empty());
}

void run(std::string_view bytes) {
  static const InputFolder folder;
  const TokenShard shard(folder.put("x.h5", bytes));
  read_all(shard);
  shard.verify();
}

std::string content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string shard_of(const std::vector<std::vector<std::uint32_t>>& documents, std::uint64_t vocab_size) {
  const InputFolder folder;
  const std::string path = folder.path() + "/seed.h5";
  ShardWriter writer(path, vocab_size);
  for (const auto& document : documents) writer.add_document(document, 0);
  ShardInfo info;
  info.settings = Json::object();
  writer.finish(info, {.sequence_length = 4});
  return content_of(path);
}

std::string old_format_shard() {  // headers without checksums
  const InputFolder folder;
  testing::craft_shard(folder.path() + "/seed.h5");
  return content_of(folder.path() + "/seed.h5");
}

std::vector<std::string> seeds() {
  return {shard_of({{1, 2, 3, 4, 5, 6}, {7, 8}, {9, 300, 11}}, 301),
          shard_of({{1, 70000, 2}}, 70001),
          old_format_shard(),
          "\x89HDF\r\n\x1a\n",
          "not HDF5",
          ""};
}

}  // namespace

Target shard_target() {
  return {"shard",
          run,
          seeds,
          {"TREE", "SNOD", "HEAP", "OHDR", "OCHK", "FRHP", "BTHD", "GCOL", std::string(8, '\xff'),
           std::string(8, '\0'), std::string("\0\x10\0\0\0\0\0\0", 8), "\x89HDF\r\n\x1a\n"},
          500};
}

}  // namespace lathe::fuzz
