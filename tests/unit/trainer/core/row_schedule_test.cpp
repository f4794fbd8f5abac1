#include "trainer/row_schedule.h"

#include <algorithm>
#include <vector>

#include "data/pipeline/prefetch.h"
#include "tests/catch.h"

using namespace lathe;

namespace {

// What the loop reads, step by step.
std::vector<RowRange> walked(const RowSchedule& schedule) {
  std::vector<RowRange> batches;
  for (std::uint64_t cursor = 0; cursor < schedule.total;
       cursor += static_cast<std::uint64_t>(schedule.rows(cursor))) {
    const RowRange mine = schedule.part(cursor);
    for (std::int64_t row = 0; row < mine.count; row += schedule.micro)
      batches.push_back(
          {mine.first + static_cast<std::uint64_t>(row), std::min(schedule.micro, mine.count - row)});
  }
  return batches;
}

Batch marked(std::uint64_t first, std::int64_t count) {
  Batch batch;
  batch.rows = count;
  batch.target_count = static_cast<std::int64_t>(first);
  return batch;
}

}  // namespace

TEST_CASE("every row of a run is taken once, by one rank") {
  for (const std::int64_t world : {1, 2, 3}) {
    std::vector<int> seen(50, 0);
    for (std::int64_t rank = 0; rank < world; ++rank)
      for (const RowRange& batch : walked({50, 12, 2, rank, world}))
        for (std::int64_t i = 0; i < batch.count; ++i) seen[batch.first + static_cast<std::uint64_t>(i)] += 1;
    CHECK(std::count(seen.begin(), seen.end(), 1) == 50);
  }
}

TEST_CASE("what is read ahead is what the loop asks for: only the first batch comes unforeseen") {
  for (const std::int64_t world : {1, 2, 3}) {
    for (const std::int64_t micro : {1, 2, 3, 4}) {
      for (std::int64_t rank = 0; rank < world; ++rank) {
        const RowSchedule schedule{53, 12, micro, rank, world};
        Prefetcher prefetcher(marked, 4);
        std::uint64_t cursor = 0;
        for (const RowRange& batch : walked(schedule)) {
          while (batch.first >= cursor + 12) cursor += 12;  // the loop moves its cursor after every step
          const auto after = [&](RowRange rows) { return schedule.after(rows, cursor); };
          CHECK(prefetcher.get(batch, after).target_count == static_cast<std::int64_t>(batch.first));
        }
        CHECK(prefetcher.unforeseen() == 1);
      }
    }
  }
}
