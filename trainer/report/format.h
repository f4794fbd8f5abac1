#pragma once
// Numbers as text, the same in every locale. Beside the format_* functions of metrics.h.
#include <string>
#include <string_view>

namespace lathe {

std::string format_fixed(double value, int decimals);       // "3.1416"; "nan", "inf"
std::string format_scientific(double value, int decimals);  // "9.1e-04"
std::string format_significant(double value, int digits);  // "0.0012", "1234", "1e-09": shortest general form
std::string format_thousands(long long value);             // "1 234 567"

// `text` padded with spaces to `width` characters, on the left when `right` is true. Longer texts stay whole.
std::string pad(std::string_view text, std::size_t width, bool right = true);

}  // namespace lathe
