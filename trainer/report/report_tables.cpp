#include "trainer/report/report_tables.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

#include "data/tokenizers/charsmap.h"
#include "trainer/report/format.h"
#include "trainer/report/html.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kSampleBytes = 64 << 10;  // shown of one file
constexpr std::size_t kGridBytes = 4 << 20;     // a larger grid is cut, and so not shown

// "tokens_kept" is drawn against the other "tokens_..." numbers: bytes and documents have bars of their own
// scale; what fills rows up ("padded") is drawn against "row_tokens".
std::string unit_of(const std::string& key) { return key == "padded" ? "row" : key.substr(0, key.find('_')); }

}  // namespace

const EvaluationMetrics* best_evaluation(const RunLog& log) {
  const EvaluationMetrics* best = nullptr;
  for (const auto& evaluation : log.evaluations) {
    if (evaluation.set != log.evaluations.front().set || !std::isfinite(evaluation.loss)) continue;
    if (!best || evaluation.loss < best->loss) best = &evaluation;
  }
  return best;
}

std::string evaluation_table(const RunLog& log) {
  if (log.evaluations.empty()) return "";
  const auto* best = best_evaluation(log);
  std::string out =
      "<div class=\"table\"><table><thead><tr><th scope=\"col\">step</th><th scope=\"col\" "
      "class=\"text\">set</th>"
      "<th scope=\"col\">loss</th>";
  const bool of_text = log.unit == "tokens";
  if (of_text) out += "<th scope=\"col\">perplexity</th><th scope=\"col\">bits per byte</th>";
  out += cat("<th scope=\"col\">", log.unit, "</th><th scope=\"col\">time</th></tr></thead><tbody>\n");
  for (const auto& e : log.evaluations) {
    out += cat("<tr", &e == best ? " class=\"best\"" : "", "><th scope=\"row\">", e.step,
               "</th><td class=\"text\">", escape_html(e.set), &e == best ? " (best)" : "", "</td><td>",
               format_fixed(e.loss, 4));
    if (of_text)
      out += cat("</td><td>", format_significant(e.perplexity, 5), "</td><td>",
                 e.bits_per_byte > 0 ? format_fixed(e.bits_per_byte, 4) : "");
    out +=
        cat("</td><td>", format_thousands(e.tokens), "</td><td>", format_duration(e.seconds), "</td></tr>\n");
  }
  return out + "</tbody></table></div>\n";
}

namespace {

// "name pictures, kept 12; name other, kept 3"
std::string list_text(const Json& list) {
  std::string text;
  for (const Json& item : list) {
    text += text.empty() ? "" : "; ";
    if (!item.is_object()) {
      text += json_scalar(item);
      continue;
    }
    std::string words;
    for (const auto& [key, value] : item.items())
      words += (words.empty() ? "" : ", ") + key + " " +
               (value.is_array() ? list_text(value) : json_scalar(value));
    text += words;
  }
  return text;
}

}  // namespace

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
           escape_html(value.is_number_integer() ? format_thousands(value.get<long long>())
                       : value.is_array()        ? list_text(value)
                                                 : json_scalar(value)) +
           "</td>";
    const double most = value.is_number() ? largest[unit_of(key)] : 0;
    const double share = most > 0 ? std::max(0.0, value.get<double>() / most) : 0;
    out +=
        "<td class=\"bar\">" +
        (share > 0 ? "<span style=\"width:" + format_fixed(100 * share, 2) + "%\"></span>" : std::string()) +
        "</td></tr>\n";
  }
  if (!out.empty()) {
    out = "<div class=\"table\"><table>" +
          (name.empty() ? "" : "<caption>" + escape_html(name) + "</caption>") + "<tbody>\n" + out +
          "</tbody></table></div>\n";
  }
  return out + inner;
}

namespace {

// A PNG of the run as part of the page; empty when it is gone.
std::string inline_picture(const fs::path& run, const std::string& name, const std::string& what) {
  std::ifstream file(run / name, std::ios::binary);
  if (name.empty() || !file) return "";
  std::string bytes(kGridBytes, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return cat("<img class=\"grid\" alt=\"", escape_html(what), "\" src=\"data:image/png;base64,",
             encode_base64(bytes), "\">\n");
}

// What a grid of an export was compared with, as PictureTask's export says.
std::string compared_text(const Json& samples) {
  if (!samples.value("compared", false))
    return "The weights in memory of that step were those of an earlier process, so nothing was compared.";
  const double largest = samples.value("largest_difference", 0.0),
               mean = samples.value("mean_difference", 0.0);
  return cat("From what the weights in memory drew at that step a point differs by ",
             format_significant(largest, 3), " of 255 levels at most, ", format_significant(mean, 3),
             " in the mean",
             samples.value("exact", false)    ? "."
             : samples.value("passed", false) ? "; they were rounded or merged since."
                                              : ": more than rounding or merging explains.");
}

}  // namespace

std::string samples_over_time(const RunLog& log, const fs::path& run) {
  std::string out;
  for (const Json& event : log.events)  // of a run that holds nothing out
    if (event["event"] == "samples" && event.contains("grid"))
      out += cat(
          "<details", &event == &log.events.back() ? " open" : "", "><summary>step ",
          json_scalar(event.value("step", Json())), "</summary><div>\n",
          inline_picture(run, event["grid"].is_string() ? event["grid"].get<std::string>() : "", "samples"),
          "</div></details>\n");
  const EvaluationMetrics* last = nullptr;
  for (const auto& e : log.evaluations) last = e.samples.empty() && e.grid.empty() ? last : &e;
  for (const auto& e : log.evaluations) {
    if (e.samples.empty() && e.grid.empty()) continue;
    out += cat("<details", &e == last ? " open" : "", "><summary>step ", e.step, ", ", escape_html(e.set),
               " loss ", format_fixed(e.loss, 4), "</summary><div>\n",
               inline_picture(run, e.grid, cat("samples at step ", e.step)));
    for (const auto& sample : e.samples) {
      out += "<p class=\"sample\"><b>" + escape_html(sample.prompt) + "</b>" + escape_html(sample.text) +
             "</p>\n";
    }
    out += "</div></details>\n";
  }
  return out;
}

std::string exported_samples(const Json& summary, const fs::path& run) {
  if (!summary.is_object()) return "";
  for (const Json& entry : summary.value("exports", Json::array())) {
    if (!entry.is_object() || !entry.contains("samples")) continue;
    const Json& samples = entry.at("samples");
    const std::string picture =
        inline_picture(run, samples.value("file", ""), "samples drawn from the exported file");
    if (picture.empty()) return "";
    return cat("<p>Drawn from the export <code>", escape_html(samples.value("from", "")),
               "</code>, read back from its files (step ", samples.value("step", std::int64_t{0}),
               "), not from the weights in memory: the prompts and the noise are those of the grids above. ",
               compared_text(samples), "</p>\n", picture);
  }
  return "";
}

std::string sample_files(const fs::path& folder) {
  std::error_code ignored;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.is_regular_file(ignored) && entry.path().extension() != ".png") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::string out;
  for (const auto& path : files) {
    std::ifstream file(path, std::ios::binary);
    std::string text(kSampleBytes, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
    out += "<details><summary>" + escape_html(path.filename().string()) + "</summary><pre>" +
           escape_html(text) + "</pre></details>\n";
  }
  return out;
}

std::string events_table(const RunLog& log) {
  std::string out;
  for (const auto& event : log.events) {
    if (event["event"] == "samples") continue;  // shown as pictures
    std::string details;
    for (const auto& [key, value] : event.items()) {
      if (key != "event" && key != "step")
        details += (details.empty() ? "" : ", ") + key + " " + json_scalar(value);
    }
    out += "<tr><th scope=\"row\">" + escape_html(json_scalar(event.value("step", Json(nullptr)))) +
           "</th><td class=\"text\">" + escape_html(json_scalar(event["event"])) +
           "</td><td class=\"text\">" + escape_html(details) + "</td></tr>\n";
  }
  if (out.empty()) return "";
  return "<div class=\"table\"><table><thead><tr><th scope=\"col\">step</th><th scope=\"col\" "
         "class=\"text\">event</th>"
         "<th scope=\"col\" class=\"text\">details</th></tr></thead><tbody>\n" +
         out + "</tbody></table></div>\n";
}

}  // namespace lathe
