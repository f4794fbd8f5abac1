#include "data/io/json.h"

#include <chrono>
#include <string>

#include "tests/catch.h"
#include "tests/complaints.h"
#include "tests/temporary_folder.h"

using namespace lathe;

namespace {
std::string parse_error(const std::string& text, const JsonLimits& limits = {}) {
  return error_of([&] { parse_json(text, "x.json", limits); });
}
}  // namespace

TEST_CASE("JSON is read in the order of the file") {
  const Json j = parse_json(
      R"({"b": [1, -2, 2.5, true, null, "\u00e9\ud83d\ude00"], "a": {"c": {}}, "": []})", "x.json");
  REQUIRE(j.size() == 3);
  CHECK(j.begin().key() == "b");
  CHECK(j["b"][0].is_number_unsigned());
  CHECK(j["b"][1].get<int>() == -2);
  CHECK(j["b"][2].get<double>() == 2.5);
  CHECK(j["b"][5].get<std::string>() == "\xC3\xA9\xF0\x9F\x98\x80");
  CHECK(j["a"]["c"].is_object());
  CHECK(j[""].is_array());
  CHECK(parse_json("3", "x").get<int>() == 3);
  CHECK(j.dump() == Json::parse(j.dump()).dump());
}

TEST_CASE("an error names the file and the byte") {
  CHECK(contains(parse_error("{\"a\": nope}"), "x.json: byte 8"));
  CHECK(contains(parse_error("[1, 2"), "x.json: byte 5"));
  CHECK(!parse_error("").empty());
  CHECK(!parse_error("[1] x").empty());
  CHECK(!parse_error("[1,]").empty());
  CHECK(!parse_error("[01]").empty());
  CHECK(!parse_error("// c\n1").empty());
  CHECK(!parse_error("\"a\nb\"").empty());
}

TEST_CASE("a NUL does not end the text") {
  using namespace std::string_literals;
  CHECK(contains(parse_error("{\"a\": 1}\0{\"b\": 2}"s), "x.json: byte 9: a NUL byte"));
  CHECK(contains(parse_error("[1]\n\0"s), "byte 5"));
  CHECK(!parse_error("\0"s).empty());
  CHECK(!parse_error("[1,\0 2]"s).empty());
  CHECK(!parse_error("[\"a\0b\"]"s).empty());
  CHECK(parse_json("[\"a\\u0000b\"]", "x")[0].get<std::string>() ==
        "a\0b"s);  // escaped, it is a character like others
}

TEST_CASE("numbers that are not finite are errors") {
  for (const char* text : {"NaN", "[Infinity]", "-Infinity", "[1e999]", "[-1e999]"})
    CHECK(!parse_error(text).empty());
}

TEST_CASE("invalid UTF-8 and lone surrogates are errors, and the message itself is valid text") {
  CHECK(contains(parse_error("[\"ab\xFF\"]"), "UTF-8"));
  CHECK(parse_error("[\"ab\xFF\"]").find('\xFF') == std::string::npos);
  CHECK(!parse_error("[\"\\ud800\"]").empty());
  CHECK(!parse_error("[\"\xED\xA0\x80\"]").empty());
  CHECK(parse_error("[\"" + std::string(100000, 'x') + "\x01\"]").size() < 500);
}

TEST_CASE("duplicate keys are errors in small and large objects") {
  const std::string error = parse_error(R"({"a": 1, "b": {"a": 2, "a": 3}})");
  CHECK(contains(error, "duplicate key 'a'"));
  CHECK(contains(error, "byte 26"));
  std::string large = "{";
  for (int i = 0; i < 1000; ++i) large += "\"k" + std::to_string(i) + "\": 0, ";
  CHECK(parse_error(large + "\"new\": 0}").empty());
  CHECK(contains(parse_error(large + "\"k500\": 0}"), "duplicate key 'k500'"));
  CHECK(contains(parse_error(large + "\"k3\": 0}"), "duplicate key 'k3'"));
  CHECK(parse_error(R"([{"a": 1}, {"a": 1}])").empty());
}

TEST_CASE("depth and size have limits") {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(parse_error(nested(64)).empty());
  CHECK(contains(parse_error(nested(65)), "deeper than 64"));
  CHECK(contains(parse_error(std::string(1000000, '[')), "deeper than 64"));
  CHECK(contains(parse_error("[1, 2, 3]", {.max_bytes = 8}), "more than the limit of 8"));
  const TemporaryFolder folder;
  const std::string path = folder.write("a.json", "[1, 2, 3]");
  CHECK(read_json(path).size() == 3);
  CHECK(contains(error_of([&] { read_json(path, {.max_bytes = 8}); }), "a.json: larger than the limit of 8"));
}

TEST_CASE("a large vocabulary is read in linear time") {
  std::string text = "{";
  for (int i = 0; i < 200000; ++i)
    text += (i ? ",\"token" : "\"token") + std::to_string(i) + "\":" + std::to_string(i);
  const auto start = std::chrono::steady_clock::now();
  const Json j = parse_json(text + "}", "vocab.json");
  CHECK(j.size() == 200000);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));  // quadratic takes minutes
}

TEST_CASE("json_get names what is missing or of another type") {
  const Json j = parse_json(R"({"a": 1, "n": null})", "c.json");
  CHECK(json_get<int>(j, "a", "c.json") == 1);
  CHECK(error_of([&] { json_get<int>(j, "b", "c.json"); }) == "c.json: key 'b' is missing");
  CHECK(contains(error_of([&] { json_get<std::string>(j, "a", "c.json"); }), "c.json: key 'a'"));
  CHECK(json_get_or<int>(j, "n", 7, "c.json") == 7);
  CHECK(json_get_or<int>(j, "zz", 8, "c.json") == 8);
}
