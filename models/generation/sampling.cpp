#include "models/generation/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "recipes/schema/error.h"

namespace lathe {

TokenId sample_token(std::span<const float> logits, const GenerationOptions& options, double uniform) {
  require(!logits.empty(), "no logits to sample from");
  const auto best = static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  require(!std::isnan(logits[best]), "the model's logits are not numbers; its weights are damaged");
  if (options.temperature <= 0 || options.top_k == 1) return best;

  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), TokenId{0});
  std::size_t kept = order.size();
  if (options.top_k > 0) kept = std::min(kept, static_cast<std::size_t>(options.top_k));
  const auto before = [&](TokenId a, TokenId b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(), before);

  std::vector<double> weights(kept);  // not normalised
  double total = 0;
  for (std::size_t i = 0; i < kept; ++i) {
    weights[i] = std::exp((static_cast<double>(logits[order[i]]) - logits[best]) / options.temperature);
    total += weights[i];
  }
  if (options.top_p < 1) {  // the fewest tokens that together reach top_p, at least one
    double mass = 0;
    std::size_t count = 0;
    while (count < kept && (count == 0 || mass < options.top_p * total)) mass += weights[count++];
    kept = count;
    total = mass;
  }
  double left = uniform * total;
  for (std::size_t i = 0; i + 1 < kept; ++i) {
    left -= weights[i];
    if (left < 0) return order[i];
  }
  return order[kept - 1];
}

}  // namespace lathe
