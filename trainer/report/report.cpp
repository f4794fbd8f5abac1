// report.html: one file that opens anywhere, now and in ten years. No script, no network (its own policy
// forbids both).
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "data/io/file_system.h"
#include "trainer/report/format.h"
#include "trainer/report/html.h"
#include "trainer/report/metrics.h"
#include "trainer/report/plots.h"
#include "trainer/report/report_tables.h"
#include "trainer/report/run_log.h"
#include "trainer/report/style.h"
#include "trainer/report/tuning.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPlotColumns = 560;  // about the pixels of a plot

std::string section(const std::string& title, const std::string& body) {
  return body.empty() ? "" : "<section>\n<h2>" + escape_html(title) + "</h2>\n" + body + "</section>\n";
}

std::string card(const std::string& name, const std::string& value, const std::string& detail = "") {
  return "<div><dt>" + escape_html(name) + "</dt><dd>" + escape_html(value) +
         (detail.empty() ? "" : "<small>" + escape_html(detail) + "</small>") + "</dd></div>\n";
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
    if (best->perplexity > 0) out += card("perplexity", format_significant(best->perplexity, 4), best->set);
    if (best->bits_per_byte > 0)
      out += card("bits per byte", format_fixed(best->bits_per_byte, 4), best->set);
  }
  if (!log.steps.empty()) {
    const auto& last = log.steps.back();
    const auto average = smoothed(points_of(log, &StepMetrics::loss), smoothing_window(log));
    if (!average.empty())
      out += card("training loss", format_fixed(average.back().second, 4), "smoothed, at the end");
    out += card("steps", format_thousands(last.step));
    out += card(log.unit + " seen", format_count(static_cast<double>(last.tokens)));
    out += card(log.unit + " a second", format_count(median_throughput(log)), "median");
    out += card("training time", format_duration(last.seconds), "without evaluation");
  }
  return out.empty() ? "" : "<dl class=\"numbers\">\n" + out + "</dl>\n";
}

std::vector<Series> validation_series(const RunLog& log) {
  std::vector<Series> found;
  for (const auto& evaluation : log.evaluations) {
    auto series =
        std::find_if(found.begin(), found.end(), [&](const Series& s) { return s.name == evaluation.set; });
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
  const std::string out =
      render_plot(losses) + render_plot(rate) +
      render_plot(single("norm", "Gradient norm", &StepMetrics::grad_norm)) +
      render_plot(single("speed", log.unit == "tokens" ? "Tokens a second" : "Pictures a second",
                         &StepMetrics::tokens_per_second));
  return out.empty() ? "" : "<div class=\"plots\">\n" + out + "</div>\n";
}

std::string folded(const std::string& name, const Json& value, bool open) {
  const bool nothing = value.is_null() || (value.is_structured() && value.empty());
  if (nothing) return "";
  return std::string("<details") + (open ? " open" : "") + "><summary>" + escape_html(name) +
         "</summary><pre>" + escape_html(json_outline(value)) + "</pre></details>\n";
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
  return format_thousands(last.step) + " steps, " + format_count(static_cast<double>(last.tokens)) + " " +
         log.unit + ", " + format_duration(last.seconds) + " of training";
}

}  // namespace

void write_report(const ReportInput& input) {
  const fs::path run(input.run_directory);
  const RunLog log = read_run_log((run / "metrics.jsonl").string());
  std::string samples = samples_over_time(log, run);
  if (samples.empty()) samples = sample_files(run / "samples");
  const std::string title = escape_html(input.title.empty() ? run.filename().string() : input.title);
  const std::string page =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
      "'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
      title + "</title>\n<style>" + kReportStyle + "</style>\n</head>\n<body>\n<main>\n<header>\n<h1>" +
      title + "</h1>\n<p class=\"subtitle\">" + escape_html(subtitle(log)) + "</p>\n</header>\n" +
      headline(log) + plots(log) + section("Evaluations", evaluation_table(log)) +
      section("Was it worth it?", tuning_section(input.tuning)) +
      section("Where the " + log.unit + " went", ledger_table("", input.ledger)) +
      section("Samples over time", samples) +
      section("Samples of the exported file", exported_samples(input.summary, run)) +
      section("Events", events_table(log)) +
      section("Details", folded("Result", input.summary, true) +
                             folded("Recipe, resolved", input.recipe_values, false) +
                             folded("Environment", environment(input.run_directory), false)) +
      "<footer>Written by Lathe. The numbers behind the plots are in metrics.jsonl, beside this "
      "file.</footer>\n"
      "</main>\n</body>\n</html>\n";
  write_file_atomically((run / "report.html").string(), page);
}

}  // namespace lathe
