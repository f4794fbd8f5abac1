#include "tests/catch.h"
#include "tests/shared_data.h"

#include <clocale>
#include <cmath>
#include <limits>

#include "trainer/report/format.h"
#include "trainer/report/metrics.h"

using namespace lathe;

TEST_CASE("durations round to what is printed") {
  CHECK(format_duration(8.3) == "8.3 s");
  CHECK(format_duration(9.96) == "10 s");
  CHECK(format_duration(59.6) == "1 min 00 s");
  CHECK(format_duration(250) == "4 min 10 s");
  CHECK(format_duration(3720) == "1 h 02 min");
  CHECK(format_duration(3599.7) == "1 h 00 min");
  CHECK(format_duration(3 * 86400 + 4 * 3600) == "3 d 04 h");
  CHECK(format_duration(std::numeric_limits<double>::infinity()) == "?");
}

TEST_CASE("counts and bytes carry three digits at most and never print 1000") {
  CHECK(format_count(0) == "0");
  CHECK(format_count(820) == "820");
  CHECK(format_count(999.6) == "1.0 k");
  CHECK(format_count(820'000) == "820 k");
  CHECK(format_count(5'240'000) == "5.2 M");
  CHECK(format_count(99'960'000) == "100 M");
  CHECK(format_count(1.24e9) == "1.2 B");
  CHECK(format_count(-2100) == "-2.1 k");
  CHECK(format_bytes(1.3e9) == "1.3 GB");
  CHECK(format_bytes(512) == "512 B");
  CHECK(format_thousands(1234567) == "1 234 567");
  CHECK(format_thousands(-123) == "-123");
  CHECK(format_thousands(-1234) == "-1 234");
}

TEST_CASE("numbers have a decimal point in any locale") {
  const bool comma = std::setlocale(LC_ALL, "de_DE.UTF-8") || std::setlocale(LC_ALL, "fr_FR.UTF-8");
  CHECK(format_fixed(3.14159, 2) == "3.14");
  CHECK(format_scientific(0.00091, 1) == "9.1e-04");
  CHECK(format_significant(0.0012, 3) == "0.0012");
  CHECK(format_fixed(std::nan(""), 2) == "nan");
  std::setlocale(LC_ALL, "C");
  if (!comma) test::say_skipped("half of it, there is no locale with a decimal comma");
}
