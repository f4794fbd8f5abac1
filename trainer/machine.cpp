#include "trainer/machine.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>
#include <malloc.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "data/io/threads.h"
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

bool cpu_flag(const std::string& name) {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("flags")) return (line + " ").find(" " + name + " ") != std::string::npos;
  return false;
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
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

bool has_native_bf16() {
  // The two libraries' own switches: a user who caps the instruction set gets what that processor would get.
  const std::string aten = environment("ATEN_CPU_CAPABILITY"), onednn = environment("ONEDNN_MAX_CPU_ISA");
  if (aten == "avx2" || aten == "default") return false;
  if (!onednn.empty() && onednn.find("BF16") == std::string::npos &&
      onednn.find("AMX") == std::string::npos && onednn != "ALL" && onednn != "DEFAULT")
    return false;
  static const bool native = cpu_flag("avx512_bf16") || cpu_flag("amx_bf16");
  return native;
}

std::string instruction_set() {
  std::string name = at::get_cpu_capability();
  if (has_native_bf16()) name += cpu_flag("amx_bf16") ? "+AMX_BF16" : "+AVX512_BF16";
  return name;
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
