#include <chrono>
#include <map>
#include <set>

#include "data/pipeline/loader.h"
#include "tests/unit/data/shards/support.h"

using namespace lathe;
using testing::contains_text;

namespace {

bool equal(const Batch& a, const Batch& b) {
  bool same = a.rows == b.rows && a.length == b.length && a.tokens == b.tokens && a.targets == b.targets &&
              a.positions == b.positions && a.target_count == b.target_count &&
              a.token_count == b.token_count && a.stretches.size() == b.stretches.size();
  for (std::size_t i = 0; same && i < a.stretches.size(); ++i) {
    const Stretch &x = a.stretches[i], &y = b.stretches[i];
    same = x.begin == y.begin && x.length == y.length && x.document == y.document && x.position == y.position;
  }
  return same;
}

// Two sources of random documents.
struct Set {
  TemporaryFolder folder;
  PreparedSet prepared;
  std::vector<testing::Documents> sources;
  explicit Set(std::vector<double> weights = {0, 0}, std::uint64_t length = 48) {
    for (std::size_t k = 0; k < weights.size(); ++k) {
      sources.push_back(testing::random_documents(60 + 40 * k, 100, 200, 5 + k));
      prepared.shards.push_back(folder / ("train-" + std::to_string(k) + ".h5"));
      testing::write_shard(prepared.shards.back(), sources.back(), 200, {.sequence_length = length});
    }
    prepared.name = "train";
    prepared.weights = std::move(weights);
  }
  std::uint64_t targets() const {
    std::uint64_t sum = 0;
    for (const auto& source : sources) {
      for (const auto& document : source) sum += document.size() - 1;
    }
    return sum;
  }
};

}  // namespace

namespace {
RowsAfter by(std::uint64_t stride) {
  return [=](RowRange rows) { return RowRange{rows.first + stride, rows.count}; };
}
}  // namespace

TEST_CASE("a batch is laid out as documented") {
  const TemporaryFolder folder;
  // Rows of 4: document 0 gives inputs 10-13 and 14; documents 1 and 2 have two inputs and one.
  testing::write_shard(folder / "a.h5", {{10, 11, 12, 13, 14, 15}, {20, 21, 22}, {30, 31}}, 100,
                       {.sequence_length = 4});
  testing::write_shard(folder / "b.h5", {{40, 41}}, 100, {.sequence_length = 4});
  PreparedSet set;
  set.shards = {folder / "a.h5", folder / "b.h5"};
  Loader loader(set, {.sequence_length = 5, .shuffle = false});
  CHECK(loader.rows_per_epoch() == 3);
  CHECK(loader.tokens_per_epoch() == 9);
  const Batch batch = loader.read(0, 3);
  CHECK(batch.rows == 3);
  CHECK(batch.length == 5);
  constexpr std::int32_t none = kIgnoreTarget;
  CHECK(batch.tokens == std::vector<std::int32_t>{10, 11, 12, 13, 0, 20, 21, 14, 30, 0, 40, 0, 0, 0, 0});
  CHECK(batch.targets ==
        std::vector<std::int32_t>{11, 12, 13, 14, none, 21, 22, 15, 31, none, 41, none, none, none, none});
  CHECK(batch.positions == std::vector<std::int32_t>{0, 1, 2, 3, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0});
  CHECK(batch.target_count == 9);
  CHECK(batch.token_count == 9);
  std::vector<std::vector<std::uint64_t>> stretches;
  for (const Stretch& s : batch.stretches) {
    stretches.push_back({static_cast<std::uint64_t>(s.begin), static_cast<std::uint64_t>(s.length),
                         s.document, static_cast<std::uint64_t>(s.position)});
  }
  // The document of the second shard has the number after the first shard's three.
  CHECK(stretches == std::vector<std::vector<std::uint64_t>>{
                         {0, 4, 0, 0}, {5, 2, 1, 0}, {7, 1, 0, 0}, {8, 1, 2, 0}, {10, 1, 3, 0}});
}

TEST_CASE("one epoch shows every target of every document once") {
  const Set set;
  Loader loader(set.prepared, {.sequence_length = 48, .seed = 11});
  CHECK(loader.tokens_per_epoch() == set.targets());
  for (int epoch = 0; epoch < 2; ++epoch) {
    std::map<std::uint64_t, std::multiset<std::int32_t>> targets;
    const std::uint64_t rows = loader.rows_per_epoch();
    for (std::uint64_t n = 0; n < rows; ++n) {
      const Batch batch = loader.read(loader.cursor(), 1, by(1));
      loader.advance(1);
      for (const Stretch& s : batch.stretches) {
        for (std::int32_t i = s.begin; i < s.begin + s.length; ++i)
          targets[s.document].insert(batch.targets[i]);
      }
    }
    bool all = targets.size() == 160;
    for (std::uint64_t d = 0; d < 160; ++d) {
      const auto& document = d < 60 ? set.sources[0][d] : set.sources[1][d - 60];
      all = all && targets[d] == std::multiset<std::int32_t>(document.begin() + 1, document.end());
    }
    CHECK(all);
  }
}

TEST_CASE("rows are the same for any ranks, micro-batches and prefetching") {
  const Set set({1, 3});
  Loader whole(set.prepared, {.sequence_length = 48, .prefetch = 0});
  std::vector<Batch> rows;
  for (std::uint64_t n = 0; n < 96; ++n) rows.push_back(whole.read(n, 1));
  for (const int ranks : {1, 2, 3}) {
    for (const std::int64_t micro : {1, 2, 4}) {
      const auto stride = static_cast<std::int64_t>(ranks) * micro;
      std::vector<std::vector<std::int32_t>> tokens(96);
      for (int rank = 0; rank < ranks; ++rank) {
        Loader loader(set.prepared, {.sequence_length = 48, .prefetch = 3});
        for (std::uint64_t at = 0; at + static_cast<std::uint64_t>(stride) <= 96;
             at += static_cast<std::uint64_t>(stride)) {
          const std::uint64_t first = at + static_cast<std::uint64_t>(rank * micro);
          const Batch batch = loader.read(first, micro, by(static_cast<std::uint64_t>(stride)));
          for (std::int64_t r = 0; r < micro; ++r) {
            tokens[first + static_cast<std::uint64_t>(r)].assign(batch.tokens.begin() + r * 48,
                                                                 batch.tokens.begin() + (r + 1) * 48);
          }
        }
      }
      bool same = true;
      for (std::size_t n = 0; n < 96 / static_cast<std::size_t>(stride) * static_cast<std::size_t>(stride);
           ++n) {
        same = same && tokens[n] == rows[n].tokens;
      }
      CHECK(same);
    }
  }
}

TEST_CASE("seek goes anywhere at once and what follows is what would have followed") {
  const Set set;
  Loader walked(set.prepared, {.sequence_length = 48}), sought(set.prepared, {.sequence_length = 48});
  for (int step = 0; step < 20; ++step) {
    walked.read(walked.cursor(), 4, by(4));
    walked.advance(4);
  }
  sought.read(3, 4, by(4));  // makes guesses of which the seek needs none
  const auto begin = std::chrono::steady_clock::now();
  sought.seek(80);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(100));
  CHECK(sought.cursor() == walked.cursor());
  for (int step = 0; step < 10; ++step) {
    CHECK(equal(sought.read(sought.cursor(), 4, by(4)), walked.read(walked.cursor(), 4, by(4))));
    sought.seek(sought.cursor() + 4);
    walked.advance(4);
  }
  CHECK(sought.unforeseen() ==
        2);  // its two beginnings; the loop seeks after every step and loses nothing by it
  sought.seek(std::uint64_t{1} << 50);
  CHECK(equal(sought.read(sought.cursor(), 2), walked.read(std::uint64_t{1} << 50, 2)));
}

TEST_CASE("weights give shares of target tokens") {
  const Set set({1, 3});
  Loader loader(set.prepared, {.sequence_length = 48});
  double first = 0, all = 0;
  for (std::uint64_t n = 0; n < 4000; n += 8) {
    const Batch batch = loader.read(n, 8, by(8));
    for (const Stretch& s : batch.stretches) {
      if (s.document < 60) first += s.length;
      all += s.length;
    }
  }
  CHECK(first / all == Approx(0.25).margin(0.01));
}

TEST_CASE("a loader refuses rows that do not fit and damaged data") {
  const Set set;
  CHECK_THROWS_WITH(Loader(set.prepared, {.sequence_length = 47}), contains_text("48 tokens long"));
  CHECK_THROWS_AS(Loader(PreparedSet{}, LoaderOptions{}), Error);
  Loader loader(set.prepared, {.sequence_length = 48});
  CHECK_THROWS_AS(loader.read(0, 0), Error);

  std::string bytes = read_bytes(set.prepared.shards[1]);
  bytes[4096] = static_cast<char>(bytes[4096] ^ 1);  // inside some array: index or tokens
  write_text(set.folder / "bad.h5", bytes);
  PreparedSet damaged = set.prepared;
  damaged.shards = {set.folder / "bad.h5"};
  const auto use = [&] {
    Loader bad(damaged, {.sequence_length = 48});
    for (std::uint64_t n = 0; n < bad.rows_per_epoch(); ++n) bad.read(n, 1, by(1));
  };
  CHECK_THROWS_AS(use(), Error);
}

TEST_CASE("what is not supervised is no target, and batches without padding hold tokens only") {
  const TemporaryFolder folder;
  {
    ShardWriter writer(folder / "s.h5", 100);
    const std::vector<std::uint32_t> a{10, 11, 12, 13}, b{20, 21, 22};
    writer.add_document(a, 0, std::vector<std::uint8_t>{0, 0, 1, 1});
    writer.add_document(b, 0, std::vector<std::uint8_t>{0, 1, 0});
    const std::vector<std::uint32_t> c{30, 31};
    CHECK_THROWS_AS(writer.add_document(c, 0), Error);
    writer.finish({}, {.sequence_length = 8, .packing = false});
  }
  PreparedSet set;
  set.shards = {folder / "s.h5"};
  Loader loader(set, {.sequence_length = 8, .shuffle = false, .padding = false});
  CHECK(loader.rows_per_epoch() == 2);
  CHECK(loader.tokens_per_epoch() == 3);
  const Batch batch = loader.read(0, 2);
  CHECK(batch.rows == 1);
  CHECK(batch.length == 32);
  CHECK(batch.token_count == 5);
  constexpr std::int32_t none = kIgnoreTarget;
  const auto first = [](const std::vector<std::int32_t>& all) {
    return std::vector<std::int32_t>(all.begin(), all.begin() + 6);
  };
  CHECK(first(batch.tokens) == std::vector<std::int32_t>{10, 11, 12, 20, 21, 0});
  CHECK(first(batch.targets) == std::vector<std::int32_t>{none, 12, 13, 21, none, none});
  CHECK(first(batch.positions) == std::vector<std::int32_t>{0, 1, 2, 0, 1, 0});
  CHECK(batch.target_count == 3);
  CHECK(batch.stretches.size() == 2);
  CHECK(batch.stretches[1].begin == 3);
  // The same through the reader that trusts nobody, and with one mark changed on disk.
  CHECK(TokenShard(folder / "s.h5").targets() == 3);
}

TEST_CASE("22 examples in batches of 4 are each seen once an epoch, and 11 batches are 2 epochs") {
  const TemporaryFolder folder;
  {
    ShardWriter writer(folder / "s.h5", 100);
    for (std::uint32_t i = 0; i < 22; ++i) {
      const std::vector<std::uint32_t> tokens{i, 50, 60 + i % 5};
      writer.add_document(tokens, 0, std::vector<std::uint8_t>{0, 0, 1});
    }
    writer.finish({}, {.sequence_length = 8, .packing = false});
  }
  PreparedSet set;
  set.shards = {folder / "s.h5"};
  Loader loader(set, {.sequence_length = 8, .padding = false});
  CHECK(loader.rows_per_epoch() == 22);
  std::vector<std::int32_t> seen;  // the first token of each row, in the order trained
  for (int step = 0; step < 11; ++step) {
    const Batch batch = loader.read(loader.cursor(), 4, by(4));
    CHECK(batch.stretches.size() == 4);
    CHECK(batch.target_count == 4);
    for (const Stretch& s : batch.stretches) seen.push_back(batch.tokens[static_cast<std::size_t>(s.begin)]);
    loader.advance(4);
  }
  REQUIRE(seen.size() == 44);
  CHECK(std::set(seen.begin(), seen.begin() + 22).size() == 22);
  CHECK(std::set(seen.begin() + 22, seen.end()).size() == 22);
  CHECK_FALSE(std::equal(seen.begin(), seen.begin() + 22, seen.begin() + 22));
}
