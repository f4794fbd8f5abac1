#include "trainer/machine.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>
#include <malloc.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>

#include "data/io/threads.h"
#include "models/ops/kernels.h"
#include "recipes/schema/error.h"
#include "trainer/report/metrics.h"

namespace lathe {

namespace {

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

}  // namespace

void tune_allocator() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_TOP_PAD, 64 << 20);
  mallopt(M_ARENA_MAX, 2);
}

int resolve_threads(long requested) {
  return requested > 0 ? static_cast<int>(requested) : hardware_threads();
}

void set_compute_threads(int threads) { at::set_num_threads(threads); }

bool has_native_bf16() { return kernels::block_products() != kernels::BlockProducts::None; }

std::string instruction_set() {
  const kernels::BlockProducts blocks = kernels::block_products();
  return cat(at::get_cpu_capability(), blocks == kernels::BlockProducts::Tiles         ? "+AMX_BF16"
                                       : blocks == kernels::BlockProducts::DotProducts ? "+AVX512_BF16"
                                                                                       : "");
}

std::string resolve_precision(const std::string& requested) {
  if (requested != "auto") return requested;
  return has_native_bf16() ? "bf16" : "fp32";
}

std::string build_id() { return cat("lathe 0.1.0, g++ ", __VERSION__, ", torch ", TORCH_VERSION); }

Json machine_description() {
  utsname system{};
  uname(&system);
  Json json = Json::object();
  json["processor"] = processor_name();
  json["cores"] = hardware_threads();
  json["instruction_set"] = instruction_set();
  json["native_bf16"] = has_native_bf16();
  json["memory_limit"] = memory_limit();
  json["system"] = cat(system.sysname, " ", system.release, " ", system.machine);
  json["compiler"] = cat("g++ ", __VERSION__);
  json["libtorch"] = TORCH_VERSION;
  return json;
}

}  // namespace lathe
