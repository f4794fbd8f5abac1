#include "trainer/plan/tape.h"

#include <algorithm>
#include <utility>

namespace lathe {

Tape::Value Tape::apply(std::int64_t bytes, Operation operation) {
  Value result{operation.output ? std::move(operation.output) : take(bytes), bytes};
  const bool depends = std::ranges::any_of(operation.inputs, [](const Value& in) { return in.made_by >= 0; });
  if (!recording_ || !(operation.trains || depends)) return result;
  Node node;
  for (const Value& in : operation.inputs) node.inputs.push_back({{}, in.bytes, in.made_by, in.output});
  node.saved = std::move(operation.saved);
  node.backward = std::move(operation.backward);
  result.made_by = static_cast<int>(nodes_.size());
  nodes_.push_back(std::move(node));
  return result;
}

void Tape::backward(const Value& loss) {
  if (loss.made_by >= 0) nodes_[static_cast<std::size_t>(loss.made_by)].gradients[0] = take(loss.bytes);
  while (!nodes_.empty()) {
    Node node = std::move(nodes_.back());
    nodes_.pop_back();
    if (std::ranges::none_of(node.gradients, [](const Held& g) { return g != nullptr; }))
      continue;  // nothing that the loss is made of
    arrived_ = std::move(node.gradients);
    std::vector<Held> gradients = node.backward();
    node.saved.clear();
    for (std::size_t i = 0; i < node.inputs.size() && i < gradients.size(); ++i) {
      const Value& in = node.inputs[i];
      if (in.made_by < 0 || !gradients[i]) continue;
      Held& sum = nodes_[static_cast<std::size_t>(in.made_by)].gradients[in.output];
      if (!sum)
        sum = std::move(gradients[i]);
      else if (sum.use_count() > 1)
        sum = take(in.bytes);
    }
    arrived_ = {};
  }
}

}  // namespace lathe
