#pragma once
// All parameters as one list of equal chunks: one parallel loop a step instead of one a tensor, and sums
// whose order does not depend on the threads.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "trainer/optim/optimizer.h"

namespace lathe {

struct Chunk {
  std::size_t parameter;      // index
  std::int64_t begin, count;  // elements
};
constexpr std::int64_t kChunkElements = 1 << 14;

// Chunks of the parameters whose index `keep` accepts.
template <class Keep>
std::vector<Chunk> chunks_of(const std::vector<Parameter>& parameters, Keep&& keep) {
  std::vector<Chunk> chunks;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!keep(i)) continue;
    const std::int64_t total = parameters[i].weight.numel();
    for (std::int64_t begin = 0; begin < total; begin += kChunkElements)
      chunks.push_back({i, begin, std::min(kChunkElements, total - begin)});
  }
  return chunks;
}

}  // namespace lathe
