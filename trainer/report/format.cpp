#include "trainer/report/format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "trainer/report/metrics.h"

namespace lathe {
namespace {

std::string with_format(double value, std::chars_format format, int precision) {
  std::array<char, 512> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format, precision);
  return {buffer.data(), end.ptr};
}

std::string two_digits(long long value) { return (value < 10 ? "0" : "") + std::to_string(value); }

// 1 decimal below 100 (as printed), none above; the next unit once 1000 would be printed.
std::string scaled(double value, const char* const* units, int count) {
  if (!std::isfinite(value)) return format_fixed(value, 0);
  int unit = 0;
  double magnitude = std::fabs(value);
  while (unit + 1 < count && magnitude >= 999.5) {
    magnitude /= 1000;
    ++unit;
  }
  const int decimals = unit == 0 || magnitude >= 99.95 ? 0 : 1;
  return (value < 0 ? "-" : "") + format_fixed(magnitude, decimals) + units[unit];
}

}  // namespace

std::string format_fixed(double value, int decimals) {
  return with_format(value, std::chars_format::fixed, decimals);
}

std::string format_scientific(double value, int decimals) {
  return with_format(value, std::chars_format::scientific, decimals);
}

std::string format_significant(double value, int digits) {
  return with_format(value, std::chars_format::general, digits);
}

std::string format_thousands(long long value) {
  std::string text = std::to_string(value);
  const std::size_t first = value < 0 ? 1 : 0;
  for (std::size_t at = text.size(); at > first + 3;) text.insert(at -= 3, 1, ' ');
  return text;
}

std::string pad(std::string_view text, std::size_t width, bool right) {
  const std::string blank(text.size() < width ? width - text.size() : 0, ' ');
  return right ? blank + std::string(text) : std::string(text) + blank;
}

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  if (seconds < 9.95) return format_fixed(seconds, 1) + " s";
  const auto whole = std::llround(std::min(seconds, 1e15));
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) return std::to_string(whole / 60) + " min " + two_digits(whole % 60) + " s";
  const auto minutes = (whole + 30) / 60;
  if (minutes < 48 * 60) return std::to_string(minutes / 60) + " h " + two_digits(minutes % 60) + " min";
  const auto hours = (minutes + 30) / 60;
  return std::to_string(hours / 24) + " d " + two_digits(hours % 24) + " h";
}

std::string format_count(double value) {
  static const char* const kUnits[] = {"", " k", " M", " B", " T"};
  return scaled(value, kUnits, 5);
}

std::string format_bytes(double bytes) {
  static const char* const kUnits[] = {" B", " kB", " MB", " GB", " TB", " PB"};
  return scaled(bytes, kUnits, 6);
}

}  // namespace lathe
