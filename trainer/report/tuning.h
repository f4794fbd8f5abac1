#pragma once
// How the tuning report is shown: in report.html and as lines for a terminal. Torch-free.
#include <string>

#include "data/io/json.h"

namespace lathe {

std::string tuning_section(const Json& report);   // HTML, empty for null
std::string tuning_summary(const Json& report);   // a small table, the verdicts and what stands out

}  // namespace lathe
