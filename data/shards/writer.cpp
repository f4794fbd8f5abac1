#include "data/shards/writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>

#include "data/io/hash.h"
#include "data/io/mapped_file.h"
#include "data/shards/skeleton.h"

namespace lathe {
namespace {

// Ids and offsets are copied as they lie in memory; shards are little-endian.
static_assert(std::endian::native == std::endian::little);

constexpr std::size_t kBuffer = std::size_t{1} << 20;
constexpr std::size_t kSlice = std::size_t{8} << 20;

// Scratch bytes that need not survive a crash: no fsync, removed on destruction.
class ScratchFile {
 public:
  explicit ScratchFile(std::string path)
      : path_(std::move(path)), descriptor_(open(path_.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600)) {
    require(descriptor_ >= 0, path_, ": cannot be created: ", std::strerror(errno));
  }
  ~ScratchFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    unlink(path_.c_str());
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  void write(std::span<const std::byte> bytes) {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    if (buffer_.size() >= kBuffer) flush();
  }
  void close() {
    flush();
    require(::close(std::exchange(descriptor_, -1)) == 0, path_, ": cannot be closed: ", std::strerror(errno));
  }
  const std::string& path() const { return path_; }

 private:
  void flush() {
    for (std::size_t done = 0; done < buffer_.size();) {
      const ssize_t n = ::write(descriptor_, buffer_.data() + done, buffer_.size() - done);
      if (n < 0 && errno == EINTR) continue;
      require(n > 0, path_, ": cannot be written: ", std::strerror(errno));
      done += static_cast<std::size_t>(n);
    }
    buffer_.clear();
  }
  std::string path_;
  int descriptor_;
  std::vector<std::byte> buffer_;
};

struct Unlink {  // removes a file on every way out
  std::string path;
  ~Unlink() { unlink(path.c_str()); }
};

void write_slices(FileSystem::File& file, std::span<const std::byte> bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += kSlice) {
    file.write(bytes.subspan(at, std::min(kSlice, bytes.size() - at)));
  }
}

std::vector<std::uint64_t> hash_blocks(std::span<const std::byte> tokens) {
  std::vector<std::uint64_t> hashes;
  for (std::uint64_t at = 0; at < tokens.size(); at += kBlockBytes) {
    hashes.push_back(xxh3(tokens.subspan(at, std::min<std::uint64_t>(kBlockBytes, tokens.size() - at))));
  }
  return hashes;
}

}  // namespace

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
  void merge(const std::string& skeleton, std::uint64_t tokens_at);
};

ShardWriter::ShardWriter(std::string path, std::uint64_t vocab_size, FileSystem& files)
    : state_(std::make_unique<State>(std::move(path), vocab_size, files)) {
  require(vocab_size >= 1 && vocab_size <= (std::uint64_t{1} << 31), state_->path, ": a vocabulary of ", vocab_size,
          " tokens cannot be stored");
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
  require(largest < s.vocab_size, s.path, ": the tokenizer gave id ", largest, ", its vocabulary has ", s.vocab_size);
  if (s.width == 4) {
    s.tokens.write(std::as_bytes(ids));
  } else {
    s.converted.resize(2 * ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto id = static_cast<std::uint16_t>(ids[i]);
      std::memcpy(s.converted.data() + 2 * i, &id, 2);
    }
    s.tokens.write(s.converted);
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
  for (const std::uint64_t length : lengths) content.doc_offsets.push_back(content.doc_offsets.back() + length);
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

// The final file: the skeleton's bytes with the tokens in its hole, which is never read.
void ShardWriter::State::merge(const std::string& skeleton, std::uint64_t tokens_at) {
  const MappedFile outline(skeleton), ids(tokens.path());
  require(tokens_at <= outline.size() && ids.size() <= outline.size() - tokens_at, skeleton,
          ": the skeleton has no room for the tokens");
  const std::string temporary = path + suffix;
  try {
    const auto file = files.create(temporary);
    write_slices(*file, outline.bytes().first(tokens_at));
    write_slices(*file, ids.bytes());
    write_slices(*file, outline.bytes().subspan(tokens_at + ids.size()));
    file->sync();
    file->close();
    files.rename(temporary, path);
    const std::string folder = std::filesystem::path(path).parent_path().string();
    files.sync_directory(folder.empty() ? "." : folder);
  } catch (...) {
    try {
      files.remove_all(temporary);
    } catch (const Error&) {  // what went wrong first is what the caller hears
    }
    throw;
  }
}

TokenLedger ShardWriter::finish(const ShardInfo& info, const PackingOptions& packing) {
  State& s = *state_;
  require(!s.lengths.empty(), s.path, ": no document was added, an empty shard is not written");
  s.tokens.close();
  SkeletonContent content = s.content(info, packing);
  content.block_hashes = hash_blocks(MappedFile(s.tokens.path()).bytes());
  const Unlink skeleton{s.path + ".skeleton" + s.suffix};
  const std::uint64_t tokens_at = write_skeleton(skeleton.path, content);
  s.merge(skeleton.path, tokens_at);
  return content.info.ledger;
}

}  // namespace lathe
