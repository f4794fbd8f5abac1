#pragma once
// How the tuning report is shown: in report.html and as lines for a terminal. Torch-free.
#include <cstddef>
#include <string>
#include <vector>

#include "data/io/json.h"

namespace lathe {

// What a reader should not miss, a sentence each: a run trained too long or too hot, answers that never end
// or repeat, what was forgotten, what is copied. Kept in the report as `look`.
std::vector<std::string> tuning_looks(const Json& report);

// "64 of 310", or the number alone when all were asked.
std::string asked_of(std::size_t asked, std::size_t all);

std::string tuning_section(const Json& report);  // HTML, empty for null
std::string tuning_summary(const Json& report);  // a small table, the verdicts and what stands out

}  // namespace lathe
