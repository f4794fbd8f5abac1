#include "data/sources/csv.h"

#include "recipes/schema/error.h"
#include "tests/catch.h"
#include "tests/complaints.h"

using namespace lathe;

namespace {

using Fields = std::vector<std::string>;

std::string csv_error(std::string_view text, char separator = 0) {
  return error_of([&] { parse_csv(text, "a.csv", separator); });
}

}  // namespace

TEST_CASE("csv: RFC 4180's rules, with the line of every row") {
  const auto t = parse_csv("a,b\r\n1,\"x, \"\"y\"\"\r\nz\"\r\n,\"\"\r\n\"3\",4", "a.csv");
  CHECK(t.columns == Fields{"a", "b"});
  REQUIRE(t.rows.size() == 2);
  CHECK(t.rows[0].fields == Fields{"1", "x, \"y\"\r\nz"});
  CHECK(t.rows[0].line == 2);
  CHECK(t.rows[1].fields == Fields{"3", "4"});
  CHECK(t.rows[1].line == 5);  // the quoted newline counts
  CHECK(t.notes.size() == 1);  // the row of two empty fields
}

TEST_CASE("csv: the separator is the one that fits every row") {
  CHECK(parse_csv("q;r\nun, deux, trois;1\nquatre;2,5\n", "a.csv").separator == ';');
  CHECK(parse_csv("q\tr\nun, deux; trois\t1\n", "a.csv").separator == '\t');
  CHECK(parse_csv("q|r\na|b\n", "a.csv").separator == '|');
  CHECK(parse_csv("q,r\n\"a;b;c\",d\ne,\"f;g\"\n", "a.csv").separator == ',');
  const auto one = parse_csv("text\n\"a, b\"\nc\n", "a.csv");
  CHECK(one.columns == Fields{"text"});
  CHECK(one.rows[0].fields == Fields{"a, b"});
  CHECK(parse_csv("a;b,c;d\n1;2,3;4\n", "a.csv", ',').columns == Fields{"a;b", "c;d"});
}

TEST_CASE("csv: what Excel does") {
  const auto t = parse_csv("sep=;\r\n Question ;R\xC3\xA9ponse;\r\nQui ?;Moi;\r\n;;\r\n;;\r\n", "a.csv");
  CHECK(t.columns == Fields{"Question", "R\xC3\xA9ponse"});
  REQUIRE(t.rows.size() == 1);
  CHECK(t.rows[0].fields == Fields{"Qui ?", "Moi"});
  CHECK(t.rows[0].line == 3);
  CHECK(contains(t.notes.at(0), "2 empty rows"));
  const auto old = parse_csv("a,b\rx,y\rz,\"1\r2\"\rw,v", "a.csv");  // CR alone ends lines
  REQUIRE(old.rows.size() == 3);
  CHECK(old.rows[1].fields == Fields{"z", "1\r2"});
  CHECK(old.rows[2].line == 5);
  CHECK(parse_csv("a,b\nsay \"hi\" now,c\n", "a.csv").rows[0].fields[0] == "say \"hi\" now");
}

TEST_CASE("csv: every ragged row is named at once") {
  const std::string error = csv_error("prompt,completion\na,b\nc\nd,e\nf,g,h\n", ',');
  CHECK(contains(error, "a.csv:3: wanted 2 fields as in the first row (separator: comma), found 1"));
  CHECK(contains(error, "a.csv:5: wanted 2 fields as in the first row (separator: comma), found 3"));
  CHECK(contains(error, "in quotes"));
}

TEST_CASE("csv: quotes and headers that cannot be read") {
  CHECK(contains(csv_error("a,b\n1,\"x\n2,y\n"), "a.csv:2: a quote opens here and never closes"));
  CHECK(contains(csv_error("a,b\n1,\"x\"y\n"), "a.csv:2: text behind a closing quote"));
  CHECK(contains(csv_error("a,a\n1,2\n"), "two columns are called 'a'"));
  CHECK(contains(csv_error("a,,c\n1,2,3\n"), "column 2 has no name"));
  CHECK(contains(csv_error(""), "the file is empty"));
  CHECK(contains(csv_error("\n\n"), "the file is empty"));
}

TEST_CASE("csv: an empty last column with a value in it is not dropped") {
  CHECK(contains(csv_error("a,b,\n1,2,3\n"), "column 3 has no name"));
}
