#pragma once
// What training holds of the weights that it trains, on the allocator's books: masters, moments, sums of
// gradients, and the copy that a checkpoint is written from.
#include <vector>

#include "trainer/plan/books.h"
#include "trainer/plan/plan.h"

namespace lathe {

// A parameter that is trained; vectors have one column.
struct TrainedMatrix {
  std::int64_t rows = 0, columns = 0;
  bool block = false;  // of a block: Muon's, where it is the optimizer
  std::int64_t size() const { return rows * columns; }
};
std::int64_t value_count(const std::vector<TrainedMatrix>& trained);

// The gradient of one parameter, or of several whose weights are one product (models/layers/linear.h).
struct GradientBlock {
  AllocatorBooks::Held storage;
  std::vector<std::int64_t> parts;  // elements
};

class TrainedState {
 public:
  using Held = AllocatorBooks::Held;
  TrainedState(AllocatorBooks& books, std::vector<TrainedMatrix> trained, const RunSettings& settings);

  std::int64_t parameters() const { return value_count(trained_); }
  // Micro-batches of a step that are worth a rehearsal.
  std::int64_t passes() const;
  // The weights of adapters, in what products are computed in.
  void take_adapters();
  void take_masters();
  void take_moments();
  // trainer/optim/parameters.cpp: fp32 sums; the first gradient in fp32 is its own sum.
  void accumulate(std::vector<GradientBlock>& gradients, std::vector<Held>& sums);
  void append_gradients(std::vector<GradientBlock>& gradients);  // of all, as adapters have them
  void orthogonalise();                                          // Muon's step
  std::vector<Held> checkpoint_copy();

 private:
  AllocatorBooks& books_;
  const RunSettings& settings_;
  std::int64_t element_;
  std::vector<TrainedMatrix> trained_;
  std::vector<Held> kept_;
};

}  // namespace lathe
