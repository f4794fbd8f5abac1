#include "models/ops/kernels.h"
#include "trainer/optim/kernels.h"

namespace lathe::kernels {

namespace avx512 {
void add_optim_kernels(OptimKernels& table);
void add_muon_kernels(OptimKernels& table);
}  // namespace avx512
namespace avx2 {
void add_optim_kernels(OptimKernels& table);
void add_muon_kernels(OptimKernels& table);
}  // namespace avx2
namespace baseline {
void add_optim_kernels(OptimKernels& table);
void add_muon_kernels(OptimKernels& table);
}  // namespace baseline

namespace {

OptimKernels make_table() {
  OptimKernels table{};
#if defined(__x86_64__)
  if (instruction_set() == InstructionSet::Avx512) {
    avx512::add_optim_kernels(table);
    avx512::add_muon_kernels(table);
    return table;
  }
  if (instruction_set() == InstructionSet::Avx2) {
    avx2::add_optim_kernels(table);
    avx2::add_muon_kernels(table);
    return table;
  }
#endif
  baseline::add_optim_kernels(table);
  baseline::add_muon_kernels(table);
  return table;
}

}  // namespace

const OptimKernels& optim_kernels() {
  static const OptimKernels table = make_table();
  return table;
}

}  // namespace lathe::kernels
