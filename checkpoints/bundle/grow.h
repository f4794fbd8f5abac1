#pragma once
// A model whose vocabulary is enlarged: rows for new tokens in the embedding and, where it is a matrix of its
// own, in the head. Torch-free; nothing is read before the tensors are.
#include "checkpoints/bundle/bundle.h"

namespace lathe {

// Rows [first, first + count) become the mean of the rows before them: a new token is then no likelier than
// the average one, so what the model says barely changes (Hewitt 2021, "Initializing New Word Embeddings for
// Pretrained Language Models"); the spelling of a control token means nothing to it. Matrices that are too
// short grow, config.json's vocab_size with them; padding rows that folders keep behind their vocabulary are
// used first. Other rows keep their bytes.
Bundle grow_vocabulary(const Bundle& bundle, std::int64_t first, std::int64_t count);

// The same of one table (rows, channels): rows [first, first + count) become the mean of the rows `like`, or
// of all before `first` when it is empty.
BundleTensor grown_table(const BundleTensor& table, std::int64_t first, std::int64_t count,
                         const std::vector<std::int64_t>& like = {});
// `table` with `rows` (n, channels), put in from row `first` on, in the table's own dtype. Error when they do
// not fit it.
BundleTensor table_with_rows(const BundleTensor& table, std::int64_t first, const BundleTensor& rows);

}  // namespace lathe
