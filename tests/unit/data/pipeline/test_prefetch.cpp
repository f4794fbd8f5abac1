#include <atomic>
#include <chrono>
#include <set>

#include "data/pipeline/prefetch.h"
#include "recipes/schema/error.h"
#include "tests/catch.h"

using namespace lathe;

namespace {

Batch marked(std::uint64_t first, std::int64_t count) {
  Batch batch;
  batch.rows = count;
  batch.target_count = static_cast<std::int64_t>(first);
  return batch;
}

RowsAfter by(std::uint64_t stride) {
  return [=](RowRange rows) { return RowRange{rows.first + stride, rows.count}; };
}

}  // namespace

TEST_CASE("the answer is that of the request, whatever was guessed") {
  Prefetcher prefetcher(marked, 3);
  std::uint64_t state = 1;
  std::uint64_t first = 0;
  for (int i = 0; i < 5000; ++i) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    const auto draw = state >> 59;
    const std::int64_t count = draw == 0 ? 7 : 4;
    if (draw == 1) first = state >> 40;  // a jump
    const Batch batch = prefetcher.get({first, count}, draw == 3 ? RowsAfter() : by(8));
    REQUIRE(batch.rows == count);
    REQUIRE(batch.target_count == static_cast<std::int64_t>(first));
    first += 8;
  }
}

TEST_CASE("the next batches are made before they are asked for") {
  std::atomic<int> made = 0;
  const auto caller = std::this_thread::get_id();
  std::atomic<int> on_caller = 0;
  Prefetcher prefetcher(
      [&](std::uint64_t first, std::int64_t count) {
        ++made;
        if (std::this_thread::get_id() == caller) ++on_caller;
        return marked(first, count);
      },
      4);
  prefetcher.get({0, 2}, by(10));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (made < 5 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  CHECK(made == 5);  // the one asked for and four more
  for (std::uint64_t i = 1; i <= 4; ++i)
    CHECK(prefetcher.get({10 * i, 2}, {}).target_count == static_cast<int>(10 * i));
  CHECK(on_caller <= 1);
}

TEST_CASE("an error made ahead is thrown where its batch is read") {
  const auto make = [](std::uint64_t first, std::int64_t count) {
    if (first == 20) fail("row 20 is damaged");
    return marked(first, count);
  };
  Prefetcher prefetcher(make, 2);
  CHECK(prefetcher.get({0, 1}, by(10)).target_count == 0);
  CHECK(prefetcher.get({10, 1}, by(10)).target_count == 10);
  CHECK_THROWS_WITH(prefetcher.get({20, 1}, by(10)), "row 20 is damaged");
  CHECK_THROWS_WITH(prefetcher.get({20, 1}, by(10)), "row 20 is damaged");
  CHECK(prefetcher.get({30, 1}, by(10)).target_count == 30);
  Prefetcher direct(make, 0);
  CHECK(direct.get({10, 1}, by(10)).target_count == 10);
}
