#pragma once
// Rows of mapped shards -> a Batch. Pure: reads the shards, keeps nothing; safe from several threads.
#include <cstdint>
#include <span>
#include <vector>

#include "data/pipeline/batch.h"
#include "data/pipeline/order.h"
#include "data/shards/shard.h"

namespace lathe {

struct OpenShards {
  std::vector<TokenShard> shards;
  std::vector<std::uint64_t> first_document;  // of each shard, over the whole set
};

// (B, T) with B = rows.size(); T >= every shard's sequence_length. With T = 0 the rows stand one after the
// other without padding between them: B = 1, T their tokens rounded up to 32 more than a multiple of 64.
Batch assemble_batch(const OpenShards& set, std::span<const RowPlace> rows, std::int64_t length);

}  // namespace lathe
