#pragma once
// Which rows of the global order a rank takes: of every optimizer step its contiguous part, in micro-batches;
// the last step may be smaller. The loop walks it and the loader reads ahead along it. Torch-free.
#include "data/pipeline/batch.h"

namespace lathe {

struct RowSchedule {
  std::uint64_t total = 0;             // rows of the whole run
  std::int64_t global = 1, micro = 1;  // rows of a step, of a forward pass
  std::int64_t rank = 0, world = 1;

  std::int64_t rows(std::uint64_t cursor) const;  // of the step that begins at `cursor`, over all ranks
  RowRange part(
      std::uint64_t cursor) const;  // this rank's of them; count 0 where the last step has none for it
  // The micro-batch after `batch`, in its step or the next. `cursor`: where a step begins, at or before the
  // batch.
  std::optional<RowRange> after(RowRange batch, std::uint64_t cursor) const;
};

}  // namespace lathe
