#include "models/ops/kernels.h"
#include "trainer/optim/kernels.h"

namespace lathe::kernels {

namespace avx512 {
void add_optim_kernels(OptimKernels& table);
}
namespace avx2 {
void add_optim_kernels(OptimKernels& table);
}
namespace baseline {
void add_optim_kernels(OptimKernels& table);
}

const OptimKernels& optim_kernels() {
  static const OptimKernels table = [] {
    OptimKernels result{};
#if defined(__x86_64__)
    if (instruction_set() == InstructionSet::Avx512) return avx512::add_optim_kernels(result), result;
    if (instruction_set() == InstructionSet::Avx2) return avx2::add_optim_kernels(result), result;
#endif
    baseline::add_optim_kernels(result);
    return result;
  }();
  return table;
}

}  // namespace lathe::kernels
