#include "data/shards/shard.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "data/io/hash.h"
#include "data/shards/mapped_arrays.h"
#include "data/shards/probe.h"

namespace lathe {
namespace {

template <class T>
std::uint64_t largest(Bytes bytes) {
  T largest = 0;
  for (const T value : array_of<T>(bytes)) largest = std::max(largest, value);
  return largest;
}

}  // namespace

struct TokenShard::State {
  MappedFile file;
  ShardInfo info;
  Bytes tokens;
  std::uint64_t token_width = 0;
  std::span<const std::uint64_t> doc_offsets, row_offsets, block_hashes;
  std::span<const std::uint16_t> doc_sources;
  std::span<const std::uint8_t> supervised;  // empty: none stored
  std::span<const Segment> segments;
  std::uint64_t targets = 0;
  std::unique_ptr<std::atomic<bool>[]> checked;  // one a block

  const std::string& path() const { return file.path(); }
  void find_arrays(const ShardLayout& layout);
  void read_attributes(const ShardLayout& layout);
  void check_documents() const;
  void check_rows();
  std::uint64_t count_targets(const Segment& segment, std::uint64_t document_length) const;
  void check_block(std::uint64_t block) const;
  void check_blocks(std::uint64_t first_token, std::uint64_t count) const;
};

void TokenShard::State::find_arrays(const ShardLayout& layout) {
  static_assert(sizeof(Segment) == 3 * sizeof(std::uint64_t));
  require(file.size() == layout.file_size, path(), ": the file changed while it was being opened");
  token_width = layout.tokens.width;
  require(token_width == 2 || token_width == 4, path(), ": /tokens: wanted uint16 or uint32");
  tokens = array_bytes(file, layout.tokens, token_width, "tokens");
  std::vector<Bytes> index = {array_bytes(file, layout.doc_offsets, 8, "doc_offsets"),
                              array_bytes(file, layout.doc_sources, 2, "doc_sources"),
                              array_bytes(file, layout.rows, 8, "rows"),
                              array_bytes(file, layout.row_offsets, 8, "row_offsets"),
                              array_bytes(file, layout.block_hashes, 8, "block_hashes")};
  if (layout.supervised.count > 0) index.push_back(array_bytes(file, layout.supervised, 1, "supervised"));
  require(index_hash(layout, index) == layout.index_hash, path(), ": the index does not match its checksum",
          kMadeAgain);
  doc_offsets = array_of<std::uint64_t>(index[0]);
  doc_sources = array_of<std::uint16_t>(index[1]);
  segments = array_of<Segment>(index[2]);
  row_offsets = array_of<std::uint64_t>(index[3]);
  block_hashes = array_of<std::uint64_t>(index[4]);
  if (index.size() > 5) supervised = array_of<std::uint8_t>(index[5]);
  require(supervised.empty() || supervised.size() == tokens.size() / token_width, path(),
          ": /supervised: wanted ", tokens.size() / token_width, " marks, found ", supervised.size());

  const std::uint64_t blocks = blocks_of(tokens);
  require(block_hashes.size() == blocks, path(), ": /block_hashes: wanted ", blocks, " hashes, found ",
          block_hashes.size());
  checked = std::make_unique<std::atomic<bool>[]>(blocks);
}

void TokenShard::State::read_attributes(const ShardLayout& layout) {
  require(layout.vocab_size >= 1 && layout.vocab_size <= (std::uint64_t{1} << 31), path(), ": vocab_size ",
          layout.vocab_size, " is not a vocabulary size");
  require(layout.sequence_length >= 1 && layout.sequence_length <= (std::uint64_t{1} << 30), path(),
          ": sequence_length ", layout.sequence_length, " is not a row length");
  info.vocab_size = layout.vocab_size;
  info.sequence_length = layout.sequence_length;
  info.tokenizer_sha256 = layout.tokenizer_sha256;
  info.source_sha256 = layout.source_sha256;
  info.settings = parse_json(layout.settings, path() + ": attribute settings");
  const std::string where = path() + ": attribute ledger";
  info.ledger = TokenLedger::from_json(parse_json(layout.ledger, where), where);
}

void TokenShard::State::check_documents() const {
  const std::uint64_t count = tokens.size() / token_width;
  require(doc_offsets.size() >= 2 && doc_offsets.size() == doc_sources.size() + 1, path(), ": ",
          doc_offsets.size(), " document offsets do not fit ", doc_sources.size(), " documents");
  require(doc_offsets.front() == 0 && doc_offsets.back() == count, path(), ": /doc_offsets do not span the ",
          count, " tokens");
  for (std::size_t d = 1; d < doc_offsets.size(); ++d) {
    require(doc_offsets[d] >= doc_offsets[d - 1], path(), ": /doc_offsets decrease at document ", d);
  }
}

void TokenShard::State::check_rows() {
  require(row_offsets.size() >= 2 && row_offsets.front() == 0 && row_offsets.back() == segments.size(),
          path(), ": /row_offsets do not span the ", segments.size(), " entries of /rows");
  const std::uint64_t documents = doc_sources.size();
  for (std::size_t r = 0; r + 1 < row_offsets.size(); ++r) {
    require(row_offsets[r] < row_offsets[r + 1] && row_offsets[r + 1] <= segments.size(), path(), ": row ", r,
            " is empty or its offset decreases");
    std::uint64_t room = info.sequence_length;
    for (std::uint64_t s = row_offsets[r]; s < row_offsets[r + 1]; ++s) {
      const Segment& segment = segments[s];
      require(segment.document < documents, path(), ": row ", r, " names document ", segment.document, " of ",
              documents);
      const std::uint64_t length = doc_offsets[segment.document + 1] - doc_offsets[segment.document];
      require(segment.length >= 1 && segment.length <= length && segment.begin <= length - segment.length,
              path(), ": row ", r, " reads past the end of document ", segment.document);
      require(segment.length <= room, path(), ": row ", r, " is longer than sequence_length ",
              info.sequence_length);
      room -= segment.length;
      targets += count_targets(segment, length);
    }
  }
}

std::uint64_t TokenShard::State::count_targets(const Segment& segment, std::uint64_t document_length) const {
  const std::uint64_t count = segment.length - (segment.begin + segment.length == document_length ? 1 : 0);
  if (supervised.empty()) return count;
  const auto marks = supervised.subspan(doc_offsets[segment.document] + segment.begin + 1, count);
  return static_cast<std::uint64_t>(std::count(marks.begin(), marks.end(), std::uint8_t{1}));
}

void TokenShard::State::check_block(std::uint64_t block) const {
  if (checked[block].load(std::memory_order_acquire)) return;
  const std::uint64_t begin = block * kBlockBytes;
  const Bytes bytes = tokens.subspan(begin, std::min<std::uint64_t>(kBlockBytes, tokens.size() - begin));
  require(xxh3(bytes) == block_hashes[block], path(), ": block ", block, " of /tokens (bytes ", begin, " to ",
          begin + bytes.size(), ") does not match its checksum", kMadeAgain);
  const std::uint64_t id = token_width == 2 ? largest<std::uint16_t>(bytes) : largest<std::uint32_t>(bytes);
  require(id < info.vocab_size, path(), ": block ", block, " of /tokens holds id ", id,
          ", the vocabulary has ", info.vocab_size);
  checked[block].store(true, std::memory_order_release);
}

void TokenShard::State::check_blocks(std::uint64_t first_token, std::uint64_t count) const {
  const std::uint64_t begin = first_token * token_width, end = begin + count * token_width;
  for (std::uint64_t block = begin / kBlockBytes; block * kBlockBytes < end; ++block) check_block(block);
}

TokenShard::TokenShard(const std::string& path, ShardTrust trust) {
  const ShardLayout layout = trust == ShardTrust::Own ? read_layout(path) : probe_hdf5(path);
  const auto state = std::make_shared<State>();
  state->file = MappedFile(path);
  state->find_arrays(layout);
  state->read_attributes(layout);
  state->check_documents();
  state->check_rows();
  state_ = state;
}

const ShardInfo& TokenShard::info() const { return state_->info; }
std::uint64_t TokenShard::documents() const { return state_->doc_sources.size(); }
std::uint64_t TokenShard::tokens() const { return state_->doc_offsets.back(); }
std::uint64_t TokenShard::rows() const { return state_->row_offsets.size() - 1; }
std::uint64_t TokenShard::targets() const { return state_->targets; }

std::span<const Segment> TokenShard::row(std::uint64_t index) const {
  require(index < rows(), state_->path(), ": row ", index, " of ", rows(), " was asked for");
  const std::uint64_t begin = state_->row_offsets[index];
  return state_->segments.subspan(begin, state_->row_offsets[index + 1] - begin);
}

std::uint64_t TokenShard::document_length(std::uint64_t document) const {
  require(document < documents(), state_->path(), ": document ", document, " of ", documents(),
          " was asked for");
  return state_->doc_offsets[document + 1] - state_->doc_offsets[document];
}

std::uint16_t TokenShard::document_source(std::uint64_t document) const {
  require(document < documents(), state_->path(), ": document ", document, " of ", documents(),
          " was asked for");
  return state_->doc_sources[document];
}

void TokenShard::read(std::uint64_t document, std::uint64_t begin, std::span<std::int32_t> out) const {
  const std::uint64_t length = document_length(document);
  require(out.size() <= length && begin <= length - out.size(), state_->path(), ": tokens ", begin, " to ",
          begin + out.size(), " of document ", document, " were asked for, it has ", length);
  if (out.empty()) return;
  const std::uint64_t first = state_->doc_offsets[document] + begin;
  state_->check_blocks(first, out.size());
  const std::byte* from = state_->tokens.data() + first * state_->token_width;
  if (state_->token_width == 4) {  // ids are below 2^31, checked with the block
    std::memcpy(out.data(), from, out.size_bytes());
  } else {
    const auto* ids = reinterpret_cast<const std::uint16_t*>(from);
    std::copy(ids, ids + out.size(), out.begin());
  }
}

bool TokenShard::has_supervision() const { return !state_->supervised.empty(); }

void TokenShard::read_supervision(std::uint64_t document, std::uint64_t begin,
                                  std::span<std::uint8_t> out) const {
  const std::uint64_t length = document_length(document);
  require(out.size() <= length && begin <= length - out.size(), state_->path(), ": marks ", begin, " to ",
          begin + out.size(), " of document ", document, " were asked for, it has ", length);
  if (!has_supervision()) {
    std::fill(out.begin(), out.end(), std::uint8_t{1});
    return;
  }
  const auto marks = state_->supervised.subspan(state_->doc_offsets[document] + begin, out.size());
  std::copy(marks.begin(), marks.end(), out.begin());
}

void TokenShard::verify() const {
  for (std::uint64_t block = 0; block < state_->block_hashes.size(); ++block) {
    state_->checked[block].store(false, std::memory_order_release);
    state_->check_block(block);
  }
}

}  // namespace lathe
