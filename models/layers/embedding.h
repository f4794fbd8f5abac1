#pragma once
// Rows of a table. The gradient of a row is summed in fp32 over its occurrences, in their order, and rounded
// once.
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/layers/module.h"
#include "models/layers/linear.h"

namespace lathe {

// Rows of a frozen table that are trained.
struct TokenRows {
  at::Tensor values;  // (n, channels), a leaf over the table's memory; undefined: none
  std::int64_t begin = 0;
};
// Makes `table` memory of its own and its rows [begin, begin + count) a leaf that shares it.
TokenRows train_rows_of(at::Tensor& table, std::int64_t begin, std::int64_t count);

class Embedding : public Module {
 public:
  Embedding(std::int64_t count, std::int64_t channels, const LinearStorage& storage);
  // ids (N) int32 or int64 -> (N, channels), in the type of products.
  at::Tensor forward(const at::Tensor& ids) const;

  // From now on only rows [begin, begin + count) are trained: the parameter trainable_tokens below this
  // module, which shares the table's memory; the other rows get neither gradient nor optimizer state. Once.
  void train_rows(std::int64_t begin, std::int64_t count);

  // Frozen: takes the table as Linear::hold does.
  void hold(const at::Tensor& values);
  void hold(const std::shared_ptr<const BlockMatrix>& blocks);
  bool frozen() const { return storage_.frozen; }
  // The table as it is stored.
  FrozenMatrix matrix() const { return blocks_ ? FrozenMatrix{nullptr, blocks_, {}} : dense_matrix(weight); }

  at::Tensor
      weight;      // (count, channels); frozen: of any float type, on no device before hold() and in blocks
  TokenRows rows;  // of train_rows

 private:
  LinearStorage storage_;
  std::shared_ptr<const BlockMatrix> blocks_;  // null: weight
};

}  // namespace lathe
