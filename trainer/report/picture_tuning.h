#pragma once
// How the report of tuned pictures is shown: in report.html and as lines for a terminal. Torch-free.
#include <string>

#include "data/io/json.h"

namespace lathe {

bool is_picture_report(const Json& report);
std::string picture_section(const Json& report);  // HTML
std::string picture_summary(const Json& report);

}  // namespace lathe
