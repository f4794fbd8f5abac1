#pragma once
// An F32 matrix that is kept in ggml's quantised blocks, as the source of a BundleTensor: asked for its bytes
// it makes all rows dense, and who finds this type behind `bytes` reads some at a time instead. A tensor that
// is given other bytes loses it.
#include <cstdint>
#include <functional>

#include "checkpoints/bundle/tensor.h"
#include "checkpoints/formats/gguf_types.h"

namespace lathe {

// Rows [begin, begin + count) as floats into `out`; thread-safe.
using RowReader = std::function<void(std::int64_t begin, std::int64_t count, float* out)>;

struct BlockRows {
  GgmlType type = GgmlType::F32;
  std::int64_t rows = 0, columns = 0;                   // a row is whole blocks
  std::function<ByteBlock()> blocks;                    // made, or mapped, when they are read
  std::function<std::int64_t(std::int64_t)> from = {};  // row i is kept as row from(i); empty: as row i

  ByteBlock operator()() const;  // all of them, F32
  RowReader reader() const;      // keeps the blocks
};

// nullptr: the tensor is something else.
const BlockRows* block_rows(const BundleTensor& tensor);

}  // namespace lathe
