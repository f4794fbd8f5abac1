#pragma once
// Writes one token shard in bounded memory (the index, 8 to 40 bytes a document, is held; tokens are not).
//
// Tokens stream to a scratch file. finish() lets HDF5 lay out a skeleton, whose /tokens is a hole, and merges
// both into the final file through FileSystem: create, write, fsync, rename, fsync of the folder. The file
// exists whole or not at all, and its bytes are a function of the documents and the info alone: no times, no
// addresses, no threads.
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "data/io/file_system.h"
#include "data/shards/packing.h"
#include "data/shards/shard.h"

namespace lathe {

// Not thread-safe. Destroyed before finish(): the scratch file goes, nothing is published.
class ShardWriter {
 public:
  ShardWriter(std::string path, std::uint64_t vocab_size, FileSystem& files = real_file_system());
  ~ShardWriter();
  // ids < vocab_size, at least two, the last one closes the document. `supervised`, one byte a token, says
  // which are learned as targets; all documents of a shard have it or none.
  void add_document(std::span<const std::uint32_t> ids, std::uint16_t source,
                    std::span<const std::uint8_t> supervised = {});
  std::uint64_t documents() const;
  // Packs the rows and publishes. info.ledger is completed with tokens_kept, documents_kept, rows, row_tokens
  // and padded and returned. Error when no document was added.
  TokenLedger finish(const ShardInfo& info, const PackingOptions& packing);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lathe
