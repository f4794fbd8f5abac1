#pragma once
// AdamW over the parameters that `owns` picks; Muon uses it for what is not its own.
#include <map>

#include "trainer/optim/optimizer.h"

namespace lathe {

// Named fp32 buffers of the optimizer's state, in parameter order.
class StateBuffers {
 public:
  at::Tensor& add(const std::string& name, const at::Tensor& like);
  std::vector<BundleTensor> tensors() const;
  void load(const std::vector<BundleTensor>& tensors);

 private:
  std::vector<std::pair<std::string, at::Tensor>> buffers_;
};

class AdamW : public Optimizer {
 public:
  AdamW(const OptimizerSection& section, std::vector<Parameter>& parameters, std::int64_t steps_done,
        bool leave_muon_parameters);
  void step(std::vector<Parameter>& parameters, const StepOptions& options) override;
  std::vector<BundleTensor> state() const override { return buffers_.tensors(); }
  void load_state(const std::vector<BundleTensor>& tensors) override { buffers_.load(tensors); }

 private:
  struct Moments {
    at::Tensor exp_avg, exp_avg_sq;  // undefined: not ours
  };
  OptimizerSection section_;
  StateBuffers buffers_;
  at::Tensor steps_;  // (1) fp32, exact to 2^24: part of the state, as bias correction depends on it
  std::vector<Moments> moments_;  // by index of the parameter
};

}  // namespace lathe
