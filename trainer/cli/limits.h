#pragma once
// Ranges of numbers on the command line. CLI11's own PositiveNumber writes its bound of 309 digits into the
// error.
#include <CLI/CLI.hpp>

#include <cstdint>

namespace lathe {

inline CLI::Range at_least_one() { return CLI::Range(std::int64_t{1}, std::int64_t{1'000'000'000'000'000}); }
inline CLI::Range not_negative() { return CLI::Range(0.0, 1e9); }

}  // namespace lathe
