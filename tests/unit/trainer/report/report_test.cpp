#include "tests/catch.h"
#include "tests/temporary_folder.h"

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <regex>

#include "trainer/report/html.h"
#include "trainer/report/metrics.h"
#include "trainer/report/plots.h"
#include "trainer/report/run_log.h"

using namespace lathe;
namespace fs = std::filesystem;

namespace {

std::string step_line(int step, double loss) {
  return cat(R"({"step":)", step, R"(,"loss":)", loss, R"(,"learning_rate":0.001,"grad_norm":1.5,"tokens":)",
             step * 10, R"(,"tokens_per_second":5,"seconds":)", step, "}\n");
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE("ticks are round and inside") {
  CHECK(ticks(0, 10, 5) == std::vector<double>{0, 2, 4, 6, 8, 10});
  CHECK(ticks(0.1, 4.9, 5) == std::vector<double>{1, 2, 3, 4});
  const auto small = ticks(-0.0011, 0.0021, 5);
  REQUIRE(small.size() == 4);
  CHECK(small.front() == Approx(-0.001));
  CHECK(small.back() == Approx(0.002));
}

TEST_CASE("smoothing starts at the first value and averages with the stated decay") {
  const auto out =
      smoothed({{1, 4.0}, {2, std::nan("")}, {3, 2.0}}, 2);  // decay 1/2: (0.25 * 4 + 0.5 * 2) / 0.75
  REQUIRE(out.size() == 2);
  CHECK(out[0].second == Approx(4.0));
  CHECK(out[1].second == Approx(8.0 / 3.0));
}

TEST_CASE("thinning keeps the peaks") {
  Points points;
  for (int i = 0; i < 10000; ++i) points.emplace_back(i, i == 7777 ? 50.0 : std::sin(i));
  const auto out = thinned(points, 100);
  CHECK(out.size() <= 200);
  CHECK(std::count_if(out.begin(), out.end(), [](const auto& p) { return p.second == 50.0; }) == 1);
  CHECK(std::is_sorted(out.begin(), out.end()));
}

TEST_CASE("one spike does not flatten the plot") {
  Plot plot{.id = "p", .title = "t", .y_name = "y", .series = {{"s", "train", {}}}};
  for (int i = 0; i < 200; ++i) plot.series[0].points.emplace_back(i, i == 100 ? 1e9 : 1 + 0.01 * (i % 10));
  const auto svg = render_plot(plot);
  CHECK(svg.find(">1.1<") != std::string::npos);  // a tick of the quiet part
  CHECK(svg.find("role=\"img\"") != std::string::npos);
  CHECK(svg.find("<title id=\"p-title\">t</title>") != std::string::npos);
  CHECK(render_plot({.id = "e", .title = "empty", .y_name = "", .series = {}}).empty());
}

TEST_CASE("a log with a roll-back, nulls and a damaged line") {
  TemporaryFolder run;
  run.write("metrics.jsonl", step_line(1, 5) + step_line(2, 4) + step_line(3, 90) +
                                 R"({"step":3,"set":"validation","validation_loss":9,"tokens":7})"
                                 "\n"
                                 R"({"event":"rollback","step":3})"
                                 "\n" +
                                 step_line(2, 3.5) +
                                 R"({"step":2,"set":"validation","validation_loss":3,"tokens":7})"
                                 "\n"
                                 R"({"step":4,"loss":null})"
                                 "\n"
                                 R"({"step":5,"lo)");
  const auto log = read_run_log(run / "metrics.jsonl");
  REQUIRE(log.steps.size() == 3);
  CHECK(log.steps[1].loss == 3.5);
  CHECK(std::isnan(log.steps[2].loss));
  REQUIRE(log.evaluations.size() == 1);
  CHECK(log.evaluations[0].loss == 3);
  CHECK(std::isnan(log.evaluations[0].bits_per_byte));
  CHECK(log.events.size() == 1);
}

TEST_CASE("texts are escaped, outlines are readable") {
  CHECK(escape_html("<a href='x'>&\"\x01\xff") ==
        "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&#xfffd;\xef\xbf\xbd");
  CHECK(json_outline(
            {{"a", 1}, {"b", {{"c", {1, 2}}, {"d", "x"}}}, {"e", {{{"f", 1}, {"g", 2}}, {{"f", 3}}}}}) ==
        "a: 1\nb:\n  c: [1, 2]\n  d: x\ne:\n  - f: 1\n    g: 2\n  - f: 3\n");
}

TEST_CASE("the report stands alone and nothing in it comes from the data unescaped") {
  TemporaryFolder run;
  std::string lines;
  for (int i = 1; i <= 20; ++i) lines += step_line(i, 5.0 / i);
  lines +=
      R"({"step":10,"set":"validation","validation_loss":2.25,"perplexity":9.49,"bits_per_byte":1.1,"tokens":70,)"
      R"("seconds_evaluating":1,"samples":[{"prompt":"<script>","text":"alert(1)</p>"}]})"
      "\n"
      R"({"step":20,"set":"validation","validation_loss":2.5,"perplexity":12.2,"bits_per_byte":1.2,"tokens":70})"
      "\n"
      R"({"event":"spike","step":12,"loss":77})"
      "\n";
  run.write("metrics.jsonl", lines);
  run.write("run.json", R"({"machine":"<b>box</b>"})");
  write_report({run.path(),
                "a <run>",
                {{"steps", 20}},
                "name: x\nlr: <1>\n",
                {{"tokens_read", 1000}, {"tokens_kept", 250}},
                nullptr});
  const auto page = read_bytes(run / "report.html");
  CHECK(count(page, "<svg") == 4);
  CHECK(count(page, "<svg") == count(page, "</svg>"));
  for (const char* tag : {"section", "details", "table", "div", "figure", "p", "dl"}) {
    CHECK(count(page, cat("<", tag, ">")) + count(page, cat("<", tag, " ")) ==
          count(page, cat("</", tag, ">")));
  }
  CHECK(page.find("<script") == std::string::npos);
  CHECK(page.find("http:") == std::string::npos);
  CHECK(page.find("https:") == std::string::npos);
  CHECK(page.find("<h1>a &lt;run&gt;</h1>") != std::string::npos);
  CHECK(page.find("<b>&lt;script&gt;</b>alert(1)&lt;/p&gt;") != std::string::npos);
  CHECK(page.find("&lt;b&gt;box") != std::string::npos);
  CHECK(page.find("<dd>2.2500<small>best, at step 10</small></dd>") != std::string::npos);
  CHECK(page.find("<tr class=\"best\"><th scope=\"row\">10</th>") != std::string::npos);
  CHECK(page.find("width:25.00%") != std::string::npos);
  CHECK(page.find("loss 77") != std::string::npos);
}

TEST_CASE("a run without a single step has a report too") {
  TemporaryFolder run;
  write_report({run.path(), "", nullptr, nullptr, nullptr, nullptr});
  CHECK(read_bytes(run / "report.html").find("No steps yet.") != std::string::npos);
}
