#include "data/checks/data_report.h"

namespace lathe {

const char* severity_name(Severity severity) {
  return severity == Severity::Error ? "error" : severity == Severity::Warning ? "warning" : "note";
}

std::string to_text(const DataReport& report) {
  std::string text = cat(report.train, report.train == 1 ? " training example" : " training examples");
  if (report.validation) text += cat(", ", report.validation, " for validation");
  if (report.lengths.longest) {
    text += cat("; tokens: ", report.lengths.shortest, " to ", report.lengths.longest, ", median ",
                report.lengths.median);
    if (report.lengths.limit) text += cat(", limit ", report.lengths.limit);
  }
  text += "\n";
  for (const auto& finding : report.findings) {
    text += cat(severity_name(finding.severity), ": ", finding.kind, " (", finding.count,
                finding.count == 1 ? " example): " : " examples): ", finding.says, "\n");
    for (const auto& origin : finding.origins) text += "    " + origin + "\n";
    if (finding.count > finding.origins.size())
      text += cat("    and ", finding.count - finding.origins.size(), " more\n");
  }
  if (report.findings.empty()) text += "nothing to object\n";
  return text;
}

Json to_json(const DataReport& report) {
  Json findings = Json::array();
  for (const auto& finding : report.findings) {
    findings.push_back({{"kind", finding.kind},
                        {"severity", severity_name(finding.severity)},
                        {"count", finding.count},
                        {"says", finding.says},
                        {"origins", finding.origins}});
  }
  Json json = {{"train", report.train}, {"validation", report.validation}};
  if (report.lengths.longest) {
    json["lengths"] = {{"shortest", report.lengths.shortest},
                       {"median", report.lengths.median},
                       {"longest", report.lengths.longest},
                       {"limit", report.lengths.limit}};
  }
  json["findings"] = std::move(findings);
  return json;
}

}  // namespace lathe
