#include "trainer/evaluate/example_batch.h"

#include <algorithm>

#include "recipes/schema/error.h"

namespace lathe {

void append_example(Batch& batch, const TokenExample& example, const std::vector<TokenId>& left_out) {
  require(!example.ids.empty(), "an example without tokens cannot be scored");
  const auto begin = static_cast<std::int32_t>(batch.tokens.size());
  const std::size_t inputs = example.ids.size() - 1;
  for (std::size_t i = 0; i < inputs; ++i) {
    const TokenId next = example.ids[i + 1];
    const bool counts =
        example.supervised[i + 1] != 0 && std::find(left_out.begin(), left_out.end(), next) == left_out.end();
    batch.tokens.push_back(static_cast<std::int32_t>(example.ids[i]));
    batch.targets.push_back(counts ? static_cast<std::int32_t>(next) : kIgnoreTarget);
    batch.positions.push_back(static_cast<std::int32_t>(i));
    batch.target_count += counts ? 1 : 0;
  }
  batch.stretches.push_back({begin, static_cast<std::int32_t>(inputs), batch.stretches.size(), 0});
  batch.rows = 1;
  batch.length = batch.token_count = static_cast<std::int64_t>(batch.tokens.size());
}

}  // namespace lathe
