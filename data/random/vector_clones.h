#pragma once
// LATHE_CLONES before a function compiles it for wider vectors too; which one runs is chosen when the program
// starts. For loops whose file the compiler may make vectors of.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define LATHE_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LATHE_CLONES
#endif
