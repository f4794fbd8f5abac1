// Numbers, booleans and suggestions: known answers.
#include "recipes/schema/scalars.h"

#include <clocale>
#include <cmath>
#include <limits>

#include "tests/catch.h"
#include "tests/shared_data.h"

using namespace lathe;

TEST_CASE("integers are decimal and exact") {
  REQUIRE(parse_integer("300").value == 300);
  REQUIRE(parse_integer("-1").value == -1);
  REQUIRE(parse_integer("+7").value == 7);
  REQUIRE(parse_integer("10_000").value == 10000);
  REQUIRE(parse_integer("10e9").value == 10'000'000'000);
  REQUIRE(parse_integer("1.5e3").value == 1500);
  REQUIRE(parse_integer("0").value == 0);
  REQUIRE(parse_integer("0e400").value == 0);
  REQUIRE(parse_integer("9223372036854775807").value == std::numeric_limits<std::int64_t>::max());
  REQUIRE(parse_integer("9007199254740993e0").value ==
          9007199254740993);  // 2^53 + 1: no way through a double
  for (const char* bad : {"",      "-",
                          "010",   "00",
                          "0x10",  "0o7",
                          "1.0",   "1.5",
                          "1e-3",  "15e-2",
                          "_1",    "1_",
                          "1__0",  "1e",
                          "1e1.5", "9223372036854775808",
                          "1e19",  "99999999999999999999",
                          "5m",    "1,5",
                          " 1",    "1 ",
                          "true",  "nan"}) {
    INFO(bad);
    REQUIRE_FALSE(parse_integer(bad).value);
  }
  REQUIRE(parse_integer("010").hint == "a leading zero is ambiguous: write 10");
  REQUIRE(parse_integer("0x10").hint == "write it in decimal");
  REQUIRE(parse_integer("5m").hint == "write the number alone, without a unit");
  REQUIRE(parse_integer("1e30").hint == "too large");
}

TEST_CASE("numbers are finite and read the same in every locale") {
  REQUIRE(parse_number("1e-3").value == 1e-3);
  REQUIRE(parse_number("0.1").value == 0.1);
  REQUIRE(parse_number(".5").value == 0.5);
  REQUIRE(parse_number("-2").value == -2.0);
  REQUIRE(parse_number("3E+4").value == 3e4);
  REQUIRE(parse_number("1_000.25").value == 1000.25);
  for (const char* bad : {".inf", "-.inf", ".nan", "inf", "nan", "1e999", "1e-3%", "0,1", "01.5", "0x1p3",
                          "1:30", "", ".", "e5"}) {
    INFO(bad);
    REQUIRE_FALSE(parse_number(bad).value);
  }
  REQUIRE(parse_number(".inf").hint == "only finite numbers");
  REQUIRE(parse_number("0,1").hint == "the decimal mark is a point, and digits are grouped with '_'");
  const bool comma = std::setlocale(LC_ALL, "fr_FR.UTF-8") || std::setlocale(LC_ALL, "de_DE.UTF-8");
  REQUIRE(parse_number("1.5").value == 1.5);
  REQUIRE(number_text(1.5) == "1.5");
  std::setlocale(LC_ALL, "C");
  if (!comma) test::say_skipped("half of it, there is no locale with a decimal comma");
}

TEST_CASE("number_text is the shortest that reads back") {
  REQUIRE(number_text(0.1) == "0.1");
  REQUIRE(number_text(1e-8) == "1e-08");
  for (double value : {1.0 / 3, 1e300, 5e-324, 0.0, 6.02e23, std::nextafter(1.0, 2.0)}) {
    REQUIRE(parse_number(number_text(value)).value == value);
  }
}

TEST_CASE("booleans are true and false alone") {
  REQUIRE(parse_bool("true").value == true);
  REQUIRE(parse_bool("false").value == false);
  for (const char* bad : {"yes", "no", "on", "off", "True", "TRUE", "y", "1", "0", ""}) {
    INFO(bad);
    REQUIRE_FALSE(parse_bool(bad).value);
  }
  REQUIRE(parse_bool("off").hint == "write false");
}

TEST_CASE("the nearest key is a typing error away") {
  const std::vector<std::string> keys = {"name",  "learning_rate", "weight_decay",
                                         "beta1", "eps",           "warmup_steps"};
  REQUIRE(nearest("learning_rat", keys) == "learning_rate");
  REQUIRE(nearest("leraning_rate", keys) == "learning_rate");
  REQUIRE(nearest("Learning_Rate", keys) == "learning_rate");
  REQUIRE(nearest("nmae", keys) == "name");
  REQUIRE(nearest("warmup", keys) == "warmup_steps");
  REQUIRE(nearest("colour", keys) == "");
  REQUIRE(nearest("ab", keys) == "");
  REQUIRE(nearest(std::string(10000, 'a'), keys) == "");
}

TEST_CASE("text that YAML would take for something else is quoted") {
  REQUIRE(yaml_scalar("runs/tiny_lm") == "runs/tiny_lm");
  for (const char* text : {"true", "No", "null", "123", "1e3", "~", "", "a: b", "a #b", "- a", "x, y", "*.py",
                           "[a]", "a b", ".5", "-x"}) {
    INFO(text);
    REQUIRE(yaml_scalar(text).front() == '"');
  }
  REQUIRE(yaml_quoted("a\"b\\c\nd") == "\"a\\\"b\\\\c\\nd\"");
}
