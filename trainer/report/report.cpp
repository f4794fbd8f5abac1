// report.html: one file that opens anywhere, now and in ten years. No script, no network (its own policy forbids both).
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>

#include "data/io/file_system.h"
#include "trainer/report/format.h"
#include "trainer/report/html.h"
#include "trainer/report/metrics.h"
#include "trainer/report/plots.h"
#include "trainer/report/run_log.h"
#include "trainer/report/style.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPlotColumns = 560;             // about the pixels of a plot
constexpr std::size_t kSampleBytes = 64 << 10;        // of one file under samples/

std::string section(const std::string& title, const std::string& body) {
  return body.empty() ? "" : "<section>\n<h2>" + escape_html(title) + "</h2>\n" + body + "</section>\n";
}

std::string card(const std::string& name, const std::string& value, const std::string& detail = "") {
  return "<div><dt>" + escape_html(name) + "</dt><dd>" + escape_html(value) +
         (detail.empty() ? "" : "<small>" + escape_html(detail) + "</small>") + "</dd></div>\n";
}

// The evaluation of the first set with the lowest loss.
const EvaluationMetrics* best_evaluation(const RunLog& log) {
  const EvaluationMetrics* best = nullptr;
  for (const auto& evaluation : log.evaluations) {
    if (evaluation.set != log.evaluations.front().set || !std::isfinite(evaluation.loss)) continue;
    if (!best || evaluation.loss < best->loss) best = &evaluation;
  }
  return best;
}

Points points_of(const RunLog& log, double StepMetrics::*member) {
  Points points;
  for (const auto& step : log.steps) points.emplace_back(static_cast<double>(step.step), step.*member);
  return points;
}

double smoothing_window(const RunLog& log) {
  return std::clamp(static_cast<double>(log.steps.size()) / 40, 1.0, 200.0);
}

double median_throughput(const RunLog& log) {
  std::vector<double> values;
  for (const auto& step : log.steps) {
    if (std::isfinite(step.tokens_per_second)) values.push_back(step.tokens_per_second);
  }
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::string headline(const RunLog& log) {
  std::string out;
  if (const auto* best = best_evaluation(log)) {
    out += card(best->set + " loss", format_fixed(best->loss, 4), cat("best, at step ", best->step));
    out += card("perplexity", format_significant(best->perplexity, 4), best->set);
    if (best->bits_per_byte > 0) out += card("bits per byte", format_fixed(best->bits_per_byte, 4), best->set);
  }
  if (!log.steps.empty()) {
    const auto& last = log.steps.back();
    const auto average = smoothed(points_of(log, &StepMetrics::loss), smoothing_window(log));
    if (!average.empty()) out += card("training loss", format_fixed(average.back().second, 4), "smoothed, at the end");
    out += card("steps", format_thousands(last.step));
    out += card("tokens seen", format_count(static_cast<double>(last.tokens)));
    out += card("tokens a second", format_count(median_throughput(log)), "median");
    out += card("training time", format_duration(last.seconds), "without evaluation");
  }
  return out.empty() ? "" : "<dl class=\"numbers\">\n" + out + "</dl>\n";
}

std::vector<Series> validation_series(const RunLog& log) {
  std::vector<Series> found;
  for (const auto& evaluation : log.evaluations) {
    auto series = std::find_if(found.begin(), found.end(), [&](const Series& s) { return s.name == evaluation.set; });
    if (series == found.end()) {
      found.push_back({evaluation.set, found.empty() ? "validation" : "other", {}, true});
      series = found.end() - 1;
    }
    series->points.emplace_back(static_cast<double>(evaluation.step), evaluation.loss);
  }
  return found;
}

std::string plots(const RunLog& log) {
  const double window = smoothing_window(log);
  const auto loss = points_of(log, &StepMetrics::loss);
  Plot losses{.id = "loss", .title = "Loss", .y_name = "loss", .series = {}};
  losses.series.push_back({"each step", "raw", thinned(loss, kPlotColumns / 2)});
  losses.series.push_back({"training, smoothed", "train", thinned(smoothed(loss, window), kPlotColumns / 2)});
  for (auto& series : validation_series(log)) losses.series.push_back(std::move(series));
  const auto single = [&](const char* id, const char* title, double StepMetrics::*member) {
    Plot plot{.id = id, .title = title, .y_name = title, .series = {}};
    plot.series.push_back({"each step", "train", thinned(points_of(log, member), kPlotColumns / 2)});
    plot.from_zero = true;
    return plot;
  };
  Plot rate = single("rate", "Learning rate", &StepMetrics::learning_rate);
  rate.scientific = true;
  const std::string out = render_plot(losses) + render_plot(rate) +
                          render_plot(single("norm", "Gradient norm", &StepMetrics::grad_norm)) +
                          render_plot(single("speed", "Tokens a second", &StepMetrics::tokens_per_second));
  return out.empty() ? "" : "<div class=\"plots\">\n" + out + "</div>\n";
}

std::string evaluation_table(const RunLog& log) {
  if (log.evaluations.empty()) return "";
  const auto* best = best_evaluation(log);
  std::string out =
      "<div class=\"table\"><table><thead><tr><th scope=\"col\">step</th><th scope=\"col\" class=\"text\">set</th>"
      "<th scope=\"col\">loss</th><th scope=\"col\">perplexity</th><th scope=\"col\">bits per byte</th>"
      "<th scope=\"col\">tokens</th><th scope=\"col\">time</th></tr></thead><tbody>\n";
  for (const auto& e : log.evaluations) {
    out += cat("<tr", &e == best ? " class=\"best\"" : "", "><th scope=\"row\">", e.step, "</th><td class=\"text\">",
               escape_html(e.set), &e == best ? " (best)" : "", "</td><td>", format_fixed(e.loss, 4), "</td><td>",
               format_significant(e.perplexity, 5), "</td><td>",
               e.bits_per_byte > 0 ? format_fixed(e.bits_per_byte, 4) : "", "</td><td>", format_thousands(e.tokens),
               "</td><td>", format_duration(e.seconds), "</td></tr>\n");
  }
  return out + "</tbody></table></div>\n";
}

// "tokens_kept" is drawn against the other "tokens_..." numbers: bytes and documents have bars of their own scale.
std::string unit_of(const std::string& key) { return key.substr(0, key.find('_')); }

std::string ledger_table(const std::string& name, const Json& ledger) {
  std::string out, inner;
  std::map<std::string, double> largest;
  for (const auto& [key, value] : ledger.items()) {
    if (value.is_number()) largest[unit_of(key)] = std::max(largest[unit_of(key)], value.get<double>());
  }
  for (const auto& [key, value] : ledger.items()) {
    if (value.is_object()) {
      inner += ledger_table(name.empty() ? key : name + ", " + key, value);
      continue;
    }
    std::string label = key;
    std::replace(label.begin(), label.end(), '_', ' ');
    out += "<tr><th scope=\"row\">" + escape_html(label) + "</th><td>" +
           escape_html(value.is_number_integer() ? format_thousands(value.get<long long>()) : json_scalar(value)) + "</td>";
    const double most = value.is_number() ? largest[unit_of(key)] : 0;
    const double share = most > 0 ? std::max(0.0, value.get<double>() / most) : 0;
    out += "<td class=\"bar\">" +
           (share > 0 ? "<span style=\"width:" + format_fixed(100 * share, 2) + "%\"></span>" : std::string()) + "</td></tr>\n";
  }
  if (!out.empty()) {
    out = "<div class=\"table\"><table>" + (name.empty() ? "" : "<caption>" + escape_html(name) + "</caption>") +
          "<tbody>\n" + out + "</tbody></table></div>\n";
  }
  return out + inner;
}

std::string samples_over_time(const RunLog& log) {
  std::string out;
  const EvaluationMetrics* last = nullptr;
  for (const auto& e : log.evaluations) last = e.samples.empty() ? last : &e;
  for (const auto& e : log.evaluations) {
    if (e.samples.empty()) continue;
    out += cat("<details", &e == last ? " open" : "", "><summary>step ", e.step, ", ", escape_html(e.set), " loss ",
               format_fixed(e.loss, 4), "</summary><div>\n");
    for (const auto& sample : e.samples) {
      out += "<p class=\"sample\"><b>" + escape_html(sample.prompt) + "</b>" + escape_html(sample.text) + "</p>\n";
    }
    out += "</div></details>\n";
  }
  return out;
}

std::string sample_files(const fs::path& folder) {
  std::error_code ignored;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.is_regular_file(ignored)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::string out;
  for (const auto& path : files) {
    std::ifstream file(path, std::ios::binary);
    std::string text(kSampleBytes, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
    out += "<details><summary>" + escape_html(path.filename().string()) + "</summary><pre>" + escape_html(text) +
           "</pre></details>\n";
  }
  return out;
}

std::string events_table(const RunLog& log) {
  std::string out;
  for (const auto& event : log.events) {
    std::string details;
    for (const auto& [key, value] : event.items()) {
      if (key != "event" && key != "step") details += (details.empty() ? "" : ", ") + key + " " + json_scalar(value);
    }
    out += "<tr><th scope=\"row\">" + escape_html(json_scalar(event.value("step", Json(nullptr)))) +
           "</th><td class=\"text\">" + escape_html(json_scalar(event["event"])) + "</td><td class=\"text\">" +
           escape_html(details) + "</td></tr>\n";
  }
  if (out.empty()) return "";
  return "<div class=\"table\"><table><thead><tr><th scope=\"col\">step</th><th scope=\"col\" class=\"text\">event</th>"
         "<th scope=\"col\" class=\"text\">details</th></tr></thead><tbody>\n" + out + "</tbody></table></div>\n";
}

std::string folded(const std::string& name, const Json& value, bool open) {
  const bool nothing = value.is_null() || (value.is_structured() && value.empty());
  if (nothing) return "";
  return std::string("<details") + (open ? " open" : "") + "><summary>" + escape_html(name) + "</summary><pre>" +
         escape_html(json_outline(value)) + "</pre></details>\n";
}

Json environment(const std::string& run_directory) {
  std::ifstream file(fs::path(run_directory) / "run.json", std::ios::binary);
  if (!file) return nullptr;
  const Json value = Json::parse(file, nullptr, false);
  return value.is_discarded() ? Json(nullptr) : value;
}

std::string subtitle(const RunLog& log) {
  if (log.steps.empty()) return "No steps yet.";
  const auto& last = log.steps.back();
  return format_thousands(last.step) + " steps, " + format_count(static_cast<double>(last.tokens)) + " tokens, " +
         format_duration(last.seconds) + " of training";
}

}  // namespace

void write_report(const ReportInput& input) {
  const fs::path run(input.run_directory);
  const RunLog log = read_run_log((run / "metrics.jsonl").string());
  std::string samples = samples_over_time(log);
  if (samples.empty()) samples = sample_files(run / "samples");
  const std::string title = escape_html(input.title.empty() ? run.filename().string() : input.title);
  const std::string page =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" + title +
      "</title>\n<style>" + kReportStyle + "</style>\n</head>\n<body>\n<main>\n<header>\n<h1>" + title +
      "</h1>\n<p class=\"subtitle\">" + escape_html(subtitle(log)) + "</p>\n</header>\n" + headline(log) + plots(log) +
      section("Evaluations", evaluation_table(log)) + section("Where the tokens went", ledger_table("", input.ledger)) +
      section("Samples over time", samples) + section("Events", events_table(log)) +
      section("Details", folded("Result", input.summary, true) + folded("Recipe, resolved", input.recipe_values, false) +
                             folded("Environment", environment(input.run_directory), false)) +
      "<footer>Written by Lathe. The numbers behind the plots are in metrics.jsonl, beside this file.</footer>\n"
      "</main>\n</body>\n</html>\n";
  write_file_atomically((run / "report.html").string(), page);
}

}  // namespace lathe
