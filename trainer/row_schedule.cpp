#include "trainer/row_schedule.h"

#include <algorithm>

namespace lathe {

std::int64_t RowSchedule::rows(std::uint64_t cursor) const {
  return static_cast<std::int64_t>(
      std::min(total - std::min(total, cursor), static_cast<std::uint64_t>(global)));
}

RowRange RowSchedule::part(std::uint64_t cursor) const {
  const std::int64_t step = rows(cursor), begin = step * rank / world, end = step * (rank + 1) / world;
  return {cursor + static_cast<std::uint64_t>(begin), end - begin};
}

std::optional<RowRange> RowSchedule::after(RowRange batch, std::uint64_t cursor) const {
  const auto step = static_cast<std::uint64_t>(global);
  cursor += (batch.first - cursor) / step * step;
  RowRange mine = part(cursor);
  const std::uint64_t next = batch.first + static_cast<std::uint64_t>(batch.count);
  const std::int64_t left = mine.count - static_cast<std::int64_t>(next - mine.first);
  if (left > 0) return RowRange{next, std::min(micro, left)};
  mine = part(cursor + step);
  if (mine.count == 0) return std::nullopt;
  return RowRange{mine.first, std::min(micro, mine.count)};
}

}  // namespace lathe
