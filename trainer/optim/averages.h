#pragma once
// Moving averages of what is trained (EMA; Polyak & Juditsky 1992, and every diffusion paper since): where a
// recipe asks for them they are what is evaluated, sampled, kept as the model and exported. Decay grows to
// its value as in diffusers' EMAModel: min(decay, (1 + step) / (10 + step)). fp32, beside the masters: 4
// bytes a parameter.
#include <cstdint>
#include <vector>

#include "trainer/optim/optimizer.h"

namespace lathe {

class Averages {
 public:
  Averages(const std::vector<Parameter>& parameters, double decay);
  void update(const std::vector<Parameter>& parameters,
              std::int64_t step);                                    // after that many optimizer steps
  const std::vector<at::Tensor>& values() const { return values_; }  // parallel to the parameters
  std::vector<at::Tensor>& values() { return values_; }

 private:
  double decay_;
  std::vector<at::Tensor> values_;
};

// While it lives the model computes with the averages. Null averages: nothing happens.
class AveragesInUse {
 public:
  AveragesInUse(const Averages* averages, std::vector<Parameter>& parameters);
  ~AveragesInUse();
  AveragesInUse(const AveragesInUse&) = delete;
  AveragesInUse& operator=(const AveragesInUse&) = delete;

 private:
  std::vector<Parameter>* parameters_ = nullptr;
  std::vector<at::Tensor> weights_;  // as they were
};

}  // namespace lathe
