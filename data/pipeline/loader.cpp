#include "data/pipeline/loader.h"

#include "data/pipeline/assemble.h"
#include "data/pipeline/order.h"
#include "data/pipeline/prefetch.h"

namespace lathe {
namespace {

OpenShards open_shards(const PreparedSet& set, std::int64_t sequence_length) {
  OpenShards open;
  std::uint64_t documents = 0;
  for (const std::string& path : set.shards) {
    // prepare_data made these files and listed them with their hashes.
    const TokenShard& shard = open.shards.emplace_back(path, ShardTrust::Own);
    require(
        sequence_length >= 1 && shard.info().sequence_length <= static_cast<std::uint64_t>(sequence_length),
        path, ": its rows are ", shard.info().sequence_length,
        " tokens long, the recipe's data.sequence_length is ", sequence_length, "; prepare the data again");
    require(shard.info().tokenizer_sha256 == open.shards.front().info().tokenizer_sha256, path,
            ": another tokenizer made it than ", set.shards.front());
    open.first_document.push_back(documents);
    documents += shard.documents();
  }
  require(!open.shards.empty(), "the data set '", set.name, "' has no shard");
  return open;
}

RowOrder make_order(const OpenShards& open, const PreparedSet& set, const LoaderOptions& options) {
  std::vector<std::uint64_t> rows, targets;
  for (const TokenShard& shard : open.shards) {
    rows.push_back(shard.rows());
    targets.push_back(shard.targets());
  }
  std::vector<double> weights = set.weights;
  weights.resize(open.shards.size(), 0.0);
  return RowOrder(std::move(rows), targets, weights, {.seed = options.seed, .shuffle = options.shuffle});
}

}  // namespace

struct Loader::State {
  OpenShards open;
  RowOrder order;
  std::int64_t length;  // of rows; 0: without padding
  std::uint64_t cursor = 0;
  Prefetcher prefetcher;  // last: its thread uses what stands above

  State(const PreparedSet& set, const LoaderOptions& options)
      : open(open_shards(set, options.sequence_length)),
        order(make_order(open, set, options)),
        length(options.padding ? options.sequence_length : 0),
        prefetcher([this](std::uint64_t first, std::int64_t count) { return make(first, count); },
                   options.prefetch) {}

  Batch make(std::uint64_t first, std::int64_t count) const {
    std::vector<RowPlace> rows;
    rows.reserve(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) rows.push_back(order(first + static_cast<std::uint64_t>(i)));
    return assemble_batch(open, rows, length);
  }
};

Loader::Loader(const PreparedSet& set, const LoaderOptions& options)
    : state_(std::make_unique<State>(set, options)) {}
Loader::~Loader() = default;
Loader::Loader(Loader&&) noexcept = default;
Loader& Loader::operator=(Loader&&) noexcept = default;

std::uint64_t Loader::rows_per_epoch() const { return state_->order.rows_per_epoch(); }
std::uint64_t Loader::tokens_per_epoch() const { return state_->order.targets_per_epoch(); }
std::vector<SourceUse> Loader::sources(std::uint64_t rows) const { return state_->order.sources(rows); }
std::uint64_t Loader::cursor() const { return state_->cursor; }

void Loader::seek(std::uint64_t cursor) { state_->cursor = cursor; }

Batch Loader::read(std::uint64_t first, std::int64_t count, const RowsAfter& after) {
  require(count >= 1, "a batch of ", count, " rows was asked for");
  return state_->prefetcher.get({first, count}, after);
}

std::uint64_t Loader::unforeseen() const { return state_->prefetcher.unforeseen(); }

void Loader::advance(std::uint64_t rows) { state_->cursor += rows; }

}  // namespace lathe
