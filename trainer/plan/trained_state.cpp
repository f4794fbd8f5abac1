#include "trainer/plan/trained_state.h"

#include <algorithm>
#include <utility>

namespace lathe {

std::int64_t value_count(const std::vector<TrainedMatrix>& trained) {
  std::int64_t count = 0;
  for (const TrainedMatrix& matrix : trained) count += matrix.size();
  return count;
}

TrainedState::TrainedState(AllocatorBooks& books, std::vector<TrainedMatrix> trained,
                           const RunSettings& settings)
    : books_(books), settings_(settings), element_(settings.bf16 ? 2 : 4), trained_(std::move(trained)) {}

std::int64_t TrainedState::passes() const {
  const std::int64_t share = settings_.global_batch_size / settings_.world_size;
  return (share + settings_.micro_batch_size - 1) / settings_.micro_batch_size;
}

void TrainedState::take_adapters() {
  for (const TrainedMatrix& matrix : trained_)
    kept_.push_back(books_.take(matrix.size() * element_, Use::Weights));
}

// trainer/optim/parameters.cpp. Those of adapters stay; else the fp32 values that were rounded take their
// place.
void TrainedState::take_masters() {
  std::vector<Held> masters;
  for (const TrainedMatrix& matrix : trained_)
    if (settings_.bf16) masters.push_back(books_.take(matrix.size() * 4, Use::Weights));
  if (settings_.adapter_rank > 0) kept_.insert(kept_.end(), masters.begin(), masters.end());
}

void TrainedState::take_moments() {
  for (int copy = 0; copy < 2; ++copy) {
    for (const TrainedMatrix& matrix : trained_) {
      if (copy == 0 || !settings_.muon || !matrix.block)
        kept_.push_back(books_.take(matrix.size() * 4, Use::Optimizer));
    }
  }
  if (settings_.averages) {  // trainer/optim/averages.h
    for (const TrainedMatrix& matrix : trained_)
      kept_.push_back(books_.take(matrix.size() * 4, Use::Optimizer));
  }
  if (settings_.world_size > 1) {  // trainer/parallel/reducer.cpp
    for (const TrainedMatrix& matrix : trained_)
      kept_.push_back(books_.take(matrix.size() * 4, Use::Gradients));
  }
}

void TrainedState::append_gradients(std::vector<GradientBlock>& gradients) {
  for (const TrainedMatrix& matrix : trained_)
    gradients.push_back({books_.take(matrix.size() * element_, Use::Gradients), {matrix.size()}});
}

void TrainedState::accumulate(std::vector<GradientBlock>& gradients, std::vector<Held>& sums) {
  const bool first = sums.empty();
  for (GradientBlock& block : gradients) {
    if (!first) continue;
    if (settings_.bf16) {
      for (const std::int64_t part : block.parts) sums.push_back(books_.take(part * 4, Use::Gradients));
    } else {
      sums.push_back(block.storage);
    }
    block.storage.reset();
  }
  gradients.clear();
}

// trainer/optim/muon.cpp: a matrix a thread, the largest first; a direction, its next value and two squares
// each.
void TrainedState::orthogonalise() {
  std::vector<TrainedMatrix> work;
  for (const TrainedMatrix& matrix : trained_)
    if (matrix.block) work.push_back(matrix);
  std::stable_sort(work.begin(), work.end(),
                   [](const TrainedMatrix& a, const TrainedMatrix& b) { return a.size() > b.size(); });
  std::vector<std::vector<Held>> threads(static_cast<std::size_t>(settings_.threads));
  for (std::size_t i = 0; i < work.size(); ++i) {
    const std::int64_t side = std::min(work[i].rows, work[i].columns), square = side * side;
    const auto take = [&](std::int64_t count, std::int64_t element) {
      return books_.take(count * element, Use::Optimizer);
    };
    std::vector<Held>& mine = threads[i % threads.size()];
    mine.clear();
    mine = {take(work[i].size(), element_), take(work[i].size(), element_), take(square, element_),
            take(square, element_)};
    if (settings_.bf16 && work[i].rows > work[i].columns) mine.push_back(take(square, 4));
  }
}

// trainer/state.cpp
std::vector<TrainedState::Held> TrainedState::checkpoint_copy() {
  std::vector<Held> copy;
  for (int part = 0; part < 3; ++part) {  // masters, and one or two moments
    for (const TrainedMatrix& matrix : trained_) {
      if (part < 2 || !settings_.muon || !matrix.block)
        copy.push_back(books_.take(matrix.size() * 4, Use::CheckpointCopy));
    }
  }
  return copy;
}

}  // namespace lathe
