#include "trainer/report/picture_tuning.h"

#include "trainer/report/format.h"
#include "trainer/report/html.h"

namespace lathe {

namespace {

std::string sentence(const Json& report) {
  const Json& copies = report.at("copies");
  const std::string real =
      copies.at("held_out").get<bool>() ? "a held-out picture" : "a training picture to the nearest other";
  return "copies: " + format_fixed(100 * copies.at("rate").get<double>(), 1) + " % of " +
         std::to_string(copies.at("pictures").get<std::int64_t>()) +
         " samples; the nearest training picture is " + format_fixed(copies.at("nearest").get<double>(), 3) +
         " away in the middle, from " + real + " it is " + format_fixed(copies.at("real").get<double>(), 3) +
         " (a copy: less than half of that)";
}

}  // namespace

bool is_picture_report(const Json& report) {
  return report.is_object() && report.value("format", std::string()) == "lathe-picture-report";
}

std::string picture_section(const Json& report) {
  return "<p><strong>" + escape_html(report.at("verdict").get<std::string>()) + "</strong></p>\n<p>" +
         escape_html(sentence(report)) + ".</p>\n";
}

std::string picture_summary(const Json& report) {
  return sentence(report) + "\nverdict: " + report.at("verdict").get<std::string>();
}

}  // namespace lathe
