#include "data/shards/writer.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "data/io/mapped_file.h"
#include "data/shards/scratch.h"
#include "data/shards/skeleton.h"

namespace lathe {

// Ids and offsets are copied as they lie in memory; shards are little-endian.
static_assert(std::endian::native == std::endian::little);

struct ShardWriter::State {
  std::string path, suffix;
  FileSystem& files;
  std::uint64_t vocab_size;
  std::uint64_t width;  // bytes a token
  ScratchFile tokens;
  std::vector<std::uint64_t> lengths;
  std::vector<std::uint16_t> sources;
  std::vector<std::uint8_t> supervised;  // of all tokens, or empty
  std::vector<std::byte> converted;

  State(std::string final_path, std::uint64_t vocabulary, FileSystem& file_system)
      : path(std::move(final_path)),
        suffix(cat(".tmp-", getpid())),
        files(file_system),
        vocab_size(vocabulary),
        width(vocabulary <= 65536 ? 2 : 4),
        tokens(path + ".tokens" + suffix) {}

  SkeletonContent content(const ShardInfo& info, const PackingOptions& packing);
};

ShardWriter::ShardWriter(std::string path, std::uint64_t vocab_size, FileSystem& files)
    : state_(std::make_unique<State>(std::move(path), vocab_size, files)) {
  require(vocab_size >= 1 && vocab_size <= (std::uint64_t{1} << 31), state_->path, ": a vocabulary of ",
          vocab_size, " tokens cannot be stored");
}

ShardWriter::~ShardWriter() = default;

std::uint64_t ShardWriter::documents() const { return state_->lengths.size(); }

void ShardWriter::add_document(std::span<const std::uint32_t> ids, std::uint16_t source,
                               std::span<const std::uint8_t> supervised) {
  State& s = *state_;
  require(ids.size() >= 2, s.path, ": a document of ", ids.size(), " tokens has nothing to predict");
  require(supervised.empty() || supervised.size() == ids.size(), s.path, ": ", supervised.size(),
          " marks for a document of ", ids.size(), " tokens");
  require(s.lengths.empty() || supervised.empty() == s.supervised.empty(), s.path,
          ": either every document says what is supervised or none");
  for (const std::uint8_t mark : supervised) s.supervised.push_back(mark != 0 ? 1 : 0);
  const std::uint32_t largest = *std::max_element(ids.begin(), ids.end());
  require(largest < s.vocab_size, s.path, ": the tokenizer gave id ", largest, ", its vocabulary has ",
          s.vocab_size);
  if (s.width == 4) {
    s.tokens.write(std::as_bytes(ids));
  } else {
    constexpr std::size_t kAtOnce = std::size_t{1} << 18;  // ids: a document may be large
    for (std::size_t begin = 0; begin < ids.size(); begin += kAtOnce) {
      const auto some = ids.subspan(begin, std::min(kAtOnce, ids.size() - begin));
      s.converted.resize(2 * some.size());
      for (std::size_t i = 0; i < some.size(); ++i) {
        const auto id = static_cast<std::uint16_t>(some[i]);
        std::memcpy(s.converted.data() + 2 * i, &id, 2);
      }
      s.tokens.write(s.converted);
    }
  }
  s.lengths.push_back(ids.size());
  s.sources.push_back(source);
}

SkeletonContent ShardWriter::State::content(const ShardInfo& info, const PackingOptions& packing) {
  SkeletonContent content;
  content.info = info;
  content.info.vocab_size = vocab_size;
  content.info.sequence_length = packing.sequence_length;
  content.token_width = width;
  content.doc_offsets.reserve(lengths.size() + 1);
  content.doc_offsets.push_back(0);
  for (const std::uint64_t length : lengths)
    content.doc_offsets.push_back(content.doc_offsets.back() + length);
  content.tokens = content.doc_offsets.back();
  content.doc_sources = std::move(sources);
  content.supervised = std::move(supervised);
  content.rows = pack_rows(lengths, packing);

  TokenLedger& ledger = content.info.ledger;
  ledger.documents_kept = lengths.size();
  ledger.tokens_kept = content.tokens;
  ledger.rows = content.rows.rows();
  ledger.row_tokens = content.rows.row_tokens;
  ledger.padded = ledger.rows * packing.sequence_length - ledger.row_tokens;
  return content;
}

TokenLedger ShardWriter::finish(const ShardInfo& info, const PackingOptions& packing) {
  State& s = *state_;
  require(!s.lengths.empty(), s.path, ": no document was added, an empty shard is not written");
  s.tokens.close();
  SkeletonContent content = s.content(info, packing);
  content.block_hashes = hash_blocks(MappedFile(s.tokens.path()).bytes());
  const RemoveAtExit skeleton{s.path + ".skeleton" + s.suffix};
  const std::uint64_t tokens_at = write_skeleton(skeleton.path, content);
  publish_filled(skeleton.path, {{tokens_at, s.tokens.path()}}, s.path, s.suffix, s.files);
  return content.info.ledger;
}

}  // namespace lathe
