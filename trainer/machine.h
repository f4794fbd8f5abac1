#pragma once
// What this machine is and how Lathe sets itself up on it.
#include <string>

#include "data/io/json.h"

namespace lathe {

// glibc gives large blocks back to the kernel after each step and faults them in again: told to keep its
// pages, a training step on the CPU is 1.2 to 1.7 times as fast. Call before the first allocation of size.
void tune_allocator();

int resolve_threads(long requested);  // 0: all the process may use
void set_compute_threads(int threads);
std::string instruction_set();  // "AVX512+AMX_BF16", "AVX512", "AVX2", "DEFAULT"
bool has_native_bf16();         // AVX512_BF16 or AMX, not switched off by environment variables
std::string resolve_precision(const std::string& requested);  // auto -> bf16 | fp32
std::string build_id();                                       // what must be equal for bit-exact resume
Json machine_description();

}  // namespace lathe
