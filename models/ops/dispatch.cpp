#include <ATen/Version.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <array>
#include <cstdlib>
#include <initializer_list>
#include <string>

#include "models/ops/kernels.h"

namespace lathe::kernels {

#if defined(__x86_64__)
namespace avx512 {
void add_block_kernels(OpKernels& table, bool bfloat16);
void add_loss_kernels(OpKernels& table, bool bfloat16);
void add_modulation_kernels(OpKernels& table, bool bfloat16);
void add_group_norm_kernels(OpKernels& table, bool bfloat16);
void add_nf4_kernels(OpKernels& table, bool bfloat16);
void add_attention_kernels(OpKernels& table);
void add_product_kernels(OpKernels& table);
void add_matrix_kernels(OpKernels& table);
}  // namespace avx512
namespace avx512_bf16 {
void add_attention_kernels(OpKernels& table);
void add_product_kernels(OpKernels& table);
void add_matrix_kernels(OpKernels& table);
}  // namespace avx512_bf16
namespace avx2 {
void add_block_kernels(OpKernels& table, bool bfloat16);
void add_loss_kernels(OpKernels& table, bool bfloat16);
void add_modulation_kernels(OpKernels& table, bool bfloat16);
void add_group_norm_kernels(OpKernels& table, bool bfloat16);
void add_nf4_kernels(OpKernels& table, bool bfloat16);
}  // namespace avx2
#endif
namespace baseline {
void add_block_kernels(OpKernels& table, bool bfloat16);
void add_loss_kernels(OpKernels& table, bool bfloat16);
void add_modulation_kernels(OpKernels& table, bool bfloat16);
void add_group_norm_kernels(OpKernels& table, bool bfloat16);
void add_nf4_kernels(OpKernels& table, bool bfloat16);
}  // namespace baseline

namespace {

OpKernels make_table(bool bfloat16) {
  OpKernels table{};
#if defined(__x86_64__)
  if (instruction_set() == InstructionSet::Avx512) {
    table.name = "avx512";
    avx512::add_block_kernels(table, bfloat16);
    avx512::add_loss_kernels(table, bfloat16);
    avx512::add_modulation_kernels(table, bfloat16);
    avx512::add_group_norm_kernels(table, bfloat16);
    avx512::add_nf4_kernels(table, bfloat16);
    const BlockProducts blocks = bfloat16 ? block_products() : BlockProducts::None;
    if (blocks == BlockProducts::Tiles) {
      avx512::add_attention_kernels(table);
      avx512::add_product_kernels(table);
      avx512::add_matrix_kernels(table);
    } else if (blocks == BlockProducts::DotProducts) {
      avx512_bf16::add_attention_kernels(table);
      avx512_bf16::add_product_kernels(table);
      avx512_bf16::add_matrix_kernels(table);
    }
    return table;
  }
  if (instruction_set() == InstructionSet::Avx2) {
    table.name = "avx2";
    avx2::add_block_kernels(table, bfloat16);
    avx2::add_loss_kernels(table, bfloat16);
    avx2::add_modulation_kernels(table, bfloat16);
    avx2::add_group_norm_kernels(table, bfloat16);
    avx2::add_nf4_kernels(table, bfloat16);
    return table;
  }
#endif
  table.name = "baseline";
  baseline::add_block_kernels(table, bfloat16);
  baseline::add_loss_kernels(table, bfloat16);
  baseline::add_modulation_kernels(table, bfloat16);
  baseline::add_group_norm_kernels(table, bfloat16);
  baseline::add_nf4_kernels(table, bfloat16);
  return table;
}

// Whether ONEDNN_MAX_CPU_ISA leaves one of the features.
bool allowed(std::initializer_list<const char*> features) {
  const char* set = std::getenv("ONEDNN_MAX_CPU_ISA");
  const std::string cap = set ? set : "";
  const auto named = [&](const char* feature) { return cap.find(feature) != std::string::npos; };
  return cap.empty() || cap == "ALL" || cap == "DEFAULT" ||
         std::any_of(features.begin(), features.end(), named);
}

bool tiles_found() {
#if defined(__x86_64__) && defined(__linux__) && defined(SYS_arch_prctl)
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kBfloatTiles = 1U << 22, kTiles = 1U << 24;
  if (!allowed({"AMX"}) || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kBfloatTiles) == 0 ||
      (d & kTiles) == 0)
    return false;
  constexpr long kRequestPermission = 0x1023,
                 kTileData = 18;  // arch_prctl(2): tiles are off until asked for
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

bool dot_products_found() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kDotProducts = 1U << 5;
  return allowed({"AMX", "BF16", "FP16"}) && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 &&
         (a & kDotProducts) != 0;
#else
  return false;
#endif
}

}  // namespace

InstructionSet instruction_set() {
#if defined(__x86_64__)
  static const std::string capability = at::get_cpu_capability();
  if (capability == "AVX512") return InstructionSet::Avx512;
  if (capability == "AVX2") return InstructionSet::Avx2;
#endif
  return InstructionSet::Baseline;
}

BlockProducts block_products() {
  static const BlockProducts found = instruction_set() != InstructionSet::Avx512 ? BlockProducts::None
                                     : tiles_found()                             ? BlockProducts::Tiles
                                     : dot_products_found()                      ? BlockProducts::DotProducts
                                                                                 : BlockProducts::None;
  return found;
}

const OpKernels& op_kernels(bool bfloat16) {
  static const std::array<OpKernels, 2> tables{make_table(false), make_table(true)};
  return tables[bfloat16 ? 1 : 0];
}

}  // namespace lathe::kernels
