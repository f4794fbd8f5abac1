#pragma once
// Optimizers over one record per parameter. bf16 weights have fp32 masters; the step reads the gradient once
// and writes master, moments and weight in one pass (bit-equal to at::_fused_adamw_ in fp32).
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "checkpoints/bundle/tensor.h"
#include "recipes/schema/training_sections.h"

namespace lathe {

// What training knows of one parameter. Adapters, shards and freezing will live here too.
struct Parameter {
  std::string name;
  at::Tensor weight;    // the model's leaf, bf16 or fp32
  at::Tensor master;    // fp32; the weight itself when that is fp32
  at::Tensor gradient;  // fp32 sum over micro-batches when accumulating; undefined: use weight.grad()
  bool trainable = true;
  bool decay = false;  // matrices of blocks, embeddings; never norms and biases
  bool muon = false;   // a block's matrix
};

// Records of a module's parameters in decoder_parameters order. Tied parameters appear once.
std::vector<Parameter> make_parameters(const std::vector<std::pair<std::string, at::Tensor>>& named);

struct StepOptions {
  double learning_rate_scale = 1;  // schedule's factor in [0, 1]
  double gradient_scale = 1;       // multiplies gradients: 1 / count and clipping in one
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  virtual void step(std::vector<Parameter>& parameters, const StepOptions& options) = 0;
  virtual std::vector<BundleTensor> state() const = 0;  // names "exp_avg.<parameter>" ...; shares memory
  virtual void load_state(const std::vector<BundleTensor>& tensors) = 0;  // Error naming what is missing
};
// steps_done: steps taken before (AdamW's bias correction); load_state() brings its own count.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerSection& section, std::vector<Parameter>& parameters,
                                          std::int64_t steps_done);

// Factor of the peak learning rate at `step` (0-based) of `total`: a pure function.
double schedule_factor(const ScheduleSection& schedule, std::int64_t step, std::int64_t total);

// L2 norm of all gradients times scale, fp32 accumulation, fixed order.
double gradient_norm(const std::vector<Parameter>& parameters, double scale);
// The tensor a step reads: gradient when defined, else weight.grad().
at::Tensor gradient_of(const Parameter& parameter);
// After backward of a micro-batch when accumulating: gradient += weight.grad() in fp32, grad released.
void accumulate_gradients(std::vector<Parameter>& parameters);
void clear_gradients(std::vector<Parameter>& parameters);

}  // namespace lathe
