#pragma once
// Token shards: HDF5 files that h5py reads, laid out so that Lathe maps them (contiguous, page-aligned, no
// filters).
//   /tokens        uint16 or uint32, all documents one after the other, each closed by its EOS
//   /doc_offsets   uint64 [documents + 1], token offsets into /tokens
//   /doc_sources   uint16 [documents]
//   /rows          uint64 [segments, 3]: (document, begin in the document, length); row_offsets says which
//   form a row /row_offsets   uint64 [rows + 1], into /rows /block_hashes  uint64: XXH3-64 of every 64 MiB of
//   /tokens /supervised    uint8 [tokens], optional (tuning): 1 where a token is learned as a target, else 0
// Attributes on the root: format "lathe-tokens", version, tokenizer_sha256, source_sha256, settings (JSON),
// vocab_size, sequence_length, ledger (JSON), index_hash (XXH3-64 over everything but /tokens). Reads check
// structure before use and each block's hash at first touch. HDF5 is used to find the datasets and never
// again: tokens come from the mapping.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/io/json.h"

namespace lathe {

// Where every token went. Invariants, in every set:
//   documents_read = kept + duplicate + dropped      tokens_read = tokens_kept + truncated + dropped
//   row_tokens = tokens_kept - documents_kept        rows * sequence_length = row_tokens + padded
// (row_tokens counts input slots; a kept document's last token is a target only, pieces of one document share
// an end.) documents_dropped holds what was too short to predict anything, too long under `drop`, empty, or
// skipped as invalid.
struct TokenLedger {
  std::uint64_t documents_read = 0, documents_kept = 0, documents_duplicate = 0, documents_dropped = 0;
  std::uint64_t documents_cut =
      0;  // of those read: only a part is of this set, their held-out end or the rest
  std::uint64_t bytes_read = 0, bytes_kept = 0;
  std::uint64_t tokens_read = 0, tokens_kept = 0, tokens_truncated = 0, tokens_dropped = 0;
  std::uint64_t rows = 0, row_tokens = 0, padded = 0;  // rows * row width == row_tokens + padded
  Json to_json() const;
  static TokenLedger from_json(const Json& json, const std::string& where = "ledger");
  TokenLedger& operator+=(const TokenLedger& other);
  bool operator==(const TokenLedger&) const = default;
};

// A piece of one document in a row: inputs are tokens [begin, begin + length) of document `document`, their
// targets tokens [begin + 1, begin + length + 1) of it; the last target is missing only when the document
// ends there.
struct Segment {
  std::uint64_t document, begin, length;
};

struct ShardInfo {
  std::uint64_t vocab_size = 0, sequence_length = 0;
  std::string tokenizer_sha256, source_sha256;
  Json settings;
  TokenLedger ledger;
};

// A foreign file's HDF5 structure is read in a limited child process (data/shards/probe.h); a file this
// process or its cache wrote is read directly.
enum class ShardTrust { Foreign, Own };

// An open shard: cheap to copy, safe to read from several threads.
class TokenShard {
 public:
  explicit TokenShard(const std::string& path, ShardTrust trust = ShardTrust::Foreign);
  const ShardInfo& info() const;
  std::uint64_t documents() const;
  std::uint64_t tokens() const;
  std::uint64_t rows() const;
  std::uint64_t targets() const;  // over all rows, those that are supervised
  std::span<const Segment> row(std::uint64_t index) const;
  std::uint64_t document_length(std::uint64_t document) const;
  std::uint16_t document_source(std::uint64_t document) const;
  // Copies tokens [begin, begin + out.size()) of a document.
  void read(std::uint64_t document, std::uint64_t begin, std::span<std::int32_t> out) const;
  bool has_supervision() const;  // else every token is supervised
  void read_supervision(std::uint64_t document, std::uint64_t begin, std::span<std::uint8_t> out) const;
  // Reads every block and compares its hash; Error naming the block.
  void verify() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace lathe
