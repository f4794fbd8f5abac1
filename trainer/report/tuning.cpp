#include "trainer/report/tuning.h"

#include <algorithm>

#include "data/metrics/metric.h"
#include "recipes/schema/error.h"
#include "trainer/report/format.h"
#include "trainer/report/html.h"
#include "trainer/report/picture_tuning.h"

namespace lathe {
namespace {

struct System {
  const char *key, *name;
};
constexpr System kSystems[] = {{"base", "base"},
                               {"few_shot", "base shown examples"},
                               {"tuned", "tuned"},
                               {"constant", "commonest training answer"},
                               {"nearest", "answer of the nearest question"}};

std::string percent(double share) { return format_fixed(100 * share, 0) + " %"; }

std::string cell(const Json& entry) {
  return format_fixed(entry.at("score").get<double>(), 3) + " (" +
         format_fixed(entry.at("low").get<double>(), 2) + " to " +
         format_fixed(entry.at("high").get<double>(), 2) + ")";
}

std::vector<std::string> looks(const Json& report) {
  return report.value("look", std::vector<std::string>());
}

std::string metrics_table(const Json& report) {
  std::string head, body, says;
  for (const auto& [name, systems] : report.at("metrics").items()) {
    const Metric& metric = find_metric(name);
    head += "<th scope=\"col\">" + escape_html(name) + " (95 %)</th>";
    says +=
        (says.empty() ? "" : "; ") + escape_html(cat(name, metric.mean ? " (mean): " : ": ", metric.says));
  }
  for (const System& system : kSystems) {
    std::string cells;
    for (const auto& [name, systems] : report.at("metrics").items())
      cells +=
          "<td>" + (systems.contains(system.key) ? escape_html(cell(systems.at(system.key))) : "") + "</td>";
    const bool best = std::string(system.key) == "tuned";
    body += std::string("<tr") + (best ? " class=\"best\"" : "") + "><th scope=\"row\">" + system.name +
            "</th>" + cells + "</tr>\n";
  }
  return "<div class=\"table\"><table><thead><tr><th scope=\"col\" class=\"text\">answers of</th>" + head +
         "</tr></thead><tbody>\n" + body + "</tbody></table></div>\n<p>" + says + ".</p>\n";
}

std::string spread_text(const std::string& name, const Json& entry, std::size_t runs) {
  return name + " of the tuned models over " + std::to_string(runs) + " runs: mean " +
         format_fixed(entry.at("mean").get<double>(), 3) + ", standard deviation " +
         format_fixed(entry.at("sd").get<double>(), 3) + ", from " +
         format_fixed(entry.at("min").get<double>(), 3) + " to " +
         format_fixed(entry.at("max").get<double>(), 3);
}

std::int64_t count_of(const Json& json, const char* key) { return json.at(key).get<std::int64_t>(); }
double number_of(const Json& json, const char* key) { return json.at(key).get<double>(); }

// "2.000 before, 2.100 after (+5.0 %)".
std::string change_text(const Json& change) {
  const double share = number_of(change, "change");
  return format_fixed(number_of(change, "base_loss"), 3) + " before, " +
         format_fixed(number_of(change, "tuned_loss"), 3) + " after (" + (share < 0 ? "" : "+") +
         format_fixed(100 * share, 1) + " %)";
}

// What was measured by losses, where it was.
std::vector<std::string> loss_lines(const Json& report) {
  std::vector<std::string> lines;
  if (report.contains("held_out")) lines.push_back("held-out loss: " + change_text(report.at("held_out")));
  if (report.contains("general_text"))
    lines.push_back("loss on general text: " + change_text(report.at("general_text")));
  const Json course = report.value("course", Json::object());
  if (course.contains("training_loss") && course.contains("first_training_loss"))
    lines.push_back("training loss: " + format_fixed(number_of(course, "first_training_loss"), 3) +
                    " at the first step, " + format_fixed(number_of(course, "training_loss"), 3) +
                    " at the last");
  return lines;
}

std::string run_text(const Json& meter) {
  return std::to_string(count_of(meter, "longest_characters")) + " characters, " +
         std::to_string(count_of(meter, "longest_words")) + " words";
}

// What is copied from the training answers, unasked and asked.
std::vector<std::string> memory_lines(const Json& report) {
  std::vector<std::string> lines;
  if (report.contains("memorised"))
    lines.push_back(
        "longest run of an answer to a held-out prompt that stands word for word in a training answer: " +
        run_text(report.at("memorised")));
  if (report.contains("recalled")) {
    const Json& meter = report.at("recalled");
    lines.push_back("asked " +
                    asked_of(meter.at("asked").get<std::size_t>(), meter.at("of").get<std::size_t>()) +
                    " training prompts, it says " + percent(number_of(meter, "verbatim")) +
                    " of their answers word for word; longest run of a training answer: " + run_text(meter));
  }
  return lines;
}

std::string asked_text_of(const Json& report) {
  const std::size_t asked = report.at("examples").get<std::size_t>();
  return asked_of(asked, report.value("held_out_prompts", asked));
}

// How many examples the base was shown, where not all of them fitted.
std::string shown_text(const Json& report) {
  if (!report.contains("shown")) return "";
  const Json& shown = report.at("shown");
  const std::int64_t least = count_of(shown, "least"), most = count_of(shown, "most"),
                     wanted = count_of(shown, "wanted");
  if (least >= wanted) return "";
  return "base shown examples: " + (least == most ? "" : std::to_string(least) + " to ") +
         std::to_string(most) + " of " + std::to_string(wanted) + " of them fitted its context";
}

// Every fold and seed by itself, and their spread.
std::string spread_section(const Json& report) {
  if (!report.contains("spread")) return "";
  const Json& spread = report.at("spread");
  std::string head, body, lines;
  for (const auto& [name, entry] : spread.at("metrics").items()) {
    head += "<th scope=\"col\">" + escape_html(name) + "</th>";
    lines += escape_html(spread_text(name, entry, spread.at("runs").size())) + ".<br>";
  }
  for (const Json& run : spread.at("runs")) {
    std::string cells;
    for (const auto& [name, systems] : run.at("metrics").items())
      cells += "<td>" + format_fixed(systems.at("tuned").get<double>(), 3) + " (base " +
               format_fixed(systems.at("base").get<double>(), 3) + ")</td>";
    const std::string fold =
        run.contains("fold") ? "fold " + std::to_string(run.at("fold").get<int>()) + ", " : "";
    body += "<tr><th scope=\"row\">" + fold + "seed " + std::to_string(run.at("seed").get<std::int64_t>()) +
            "</th><td>" + std::to_string(run.at("examples").get<int>()) + "</td><td>" +
            std::to_string(run.at("best_step").get<int>()) + " of " +
            std::to_string(run.at("total_steps").get<int>()) + "</td>" + cells + "</tr>\n";
  }
  return "<p>" + lines +
         "</p>\n<div class=\"table\"><table><thead><tr><th scope=\"col\" class=\"text\">run</th>"
         "<th scope=\"col\">held out</th><th scope=\"col\">best step</th>" +
         head + "</tr></thead><tbody>\n" + body + "</tbody></table></div>\n";
}

// Answers that never stop, that repeat themselves, and their length beside that of the wanted ones.
std::string behaviour_table(const Json& report) {
  const Json& behaviour = report.at("behaviour");
  std::string body;
  for (const System& system : kSystems) {
    if (!behaviour.contains(system.key)) continue;
    const Json& entry = behaviour.at(system.key);
    body += std::string("<tr><th scope=\"row\">") + system.name + "</th><td>" +
            percent(entry.at("never_stops").get<double>()) + "</td><td>" +
            percent(entry.at("repeats").get<double>()) + "</td><td>" +
            format_fixed(entry.at("mean_bytes").get<double>(), 0) + "</td></tr>\n";
  }
  body += "<tr><th scope=\"row\">wanted</th><td></td><td></td><td>" +
          format_fixed(behaviour.at("wanted").at("mean_bytes").get<double>(), 0) + "</td></tr>\n";
  return "<div class=\"table\"><table><thead><tr><th scope=\"col\" class=\"text\">answers of</th><th "
         "scope=\"col\">never stop</th>"
         "<th scope=\"col\">repeat themselves</th><th scope=\"col\">mean bytes</th></tr></thead><tbody>\n" +
         body + "</tbody></table></div>\n";
}

std::string answers(const Json& report) {
  std::string out;
  for (const Json& item : report.value("answers", Json::array())) {
    const auto row = [&](const char* name, const char* key) {
      return std::string("<tr><th scope=\"row\">") + name + "</th><td class=\"text\">" +
             escape_html(item.at(key).get<std::string>()) + "</td></tr>\n";
    };
    const std::string prompt = item.at("prompt").get<std::string>();
    const bool right = item.at("tuned") == item.at("reference");
    out += "<details><summary>" + escape_html(prompt.substr(0, 100)) + (right ? " &#10003;" : "") +
           "</summary><div class=\"table\"><table><tbody>\n" + row("prompt", "prompt") +
           row("wanted", "reference") + row("tuned", "tuned") + row("base", "base") +
           row("base shown examples", "few_shot") + "</tbody></table></div></details>\n";
  }
  return out;
}

}  // namespace

std::string asked_of(std::size_t asked, std::size_t all) {
  return all > asked ? std::to_string(asked) + " of " + std::to_string(all) : std::to_string(asked);
}

namespace {

void look_at_answers(const Json& report, std::vector<std::string>& out) {
  const Json& tuned = report.at("behaviour").at("tuned");
  if (const double share = number_of(tuned, "never_stops"); share > 0.1)
    out.push_back(
        percent(share) +
        " of the tuned answers do not stop by themselves: train longer, or see that every answer ends");
  if (const double share = number_of(tuned, "repeats"); share > 0.1)
    out.push_back(percent(share) +
                  " of the tuned answers repeat themselves: train shorter, or with a lower learning rate");
  const std::string decides = report.value("decides", "");
  const Json systems = decides.empty() ? Json::object() : Json(report.at("metrics").at(decides));
  const double score = systems.contains("tuned") ? number_of(systems.at("tuned"), "score") : 0;
  for (const System& system : kSystems)  // of those that know nothing, the first that is not beaten
    if ((system.key == std::string("constant") || system.key == std::string("nearest")) &&
        systems.contains(system.key) && score <= number_of(systems.at(system.key), "score")) {
      out.push_back("the " + std::string(system.name) + " alone reaches " +
                    format_fixed(number_of(systems.at(system.key), "score"), 3) + ", the tuned model " +
                    format_fixed(score, 3) +
                    (system.key == std::string("constant")
                         ? ": nothing is shown to have been learned that depends on the question"
                         : ": looking up the likeliest example would serve as well"));
      break;
    }
  const double length = number_of(tuned, "mean_bytes"),
               wanted = number_of(report.at("behaviour").at("wanted"), "mean_bytes");
  if (wanted > 0 && (length > 1.5 * wanted || length < wanted / 1.5))
    out.push_back("the tuned answers have " + format_fixed(length, 0) +
                  " bytes on average, the wanted ones " + format_fixed(wanted, 0) + ": their length drifted");
}

void look_at_losses(const Json& report, std::vector<std::string>& out) {
  if (report.contains("general_text"))
    if (const double change = number_of(report.at("general_text"), "change"); change > 0.05)
      out.push_back(
          "the loss on general text rose by " + percent(change) +
          ": much was forgotten; lower optimizer.learning_rate or train.epochs, or train fewer weights (" +
          (report.value("adapter", "").empty() ? "adapter: {kind: lora, rank: 16}" : "adapter.rank") + ")");
  const Json course = report.value("course", Json::object());
  if (const double best = course.value("best_loss", 0.0), last = course.value("last_loss", 0.0);
      last > 1.1 * best && best > 0)
    out.push_back("the held-out loss was lowest (" + format_fixed(best, 3) + ") at step " +
                  std::to_string(course.value("best_step", 0)) + " of " +
                  std::to_string(course.value("last_step", 0)) + " and rose to " + format_fixed(last, 3) +
                  ": trained too long or too hot; " +
                  (report.value("step", course.value("best_step", 0)) == course.value("best_step", 0)
                       ? std::string("the best step was kept")
                       : "what is kept and measured here is step " + std::to_string(report.value("step", 0)) +
                             ", as checkpoint.keep_best is off"));
  if (const double base = course.value("base_loss", 0.0), best = course.value("best_loss", 0.0);
      base > 0 && best >= base)
    out.push_back(
        "the held-out loss never fell below the base's (" + format_fixed(base, 3) +
        "): nothing was learned that holds elsewhere; lower optimizer.learning_rate, or bring more examples");
}

}  // namespace

std::vector<std::string> tuning_looks(const Json& report) {
  std::vector<std::string> out;
  if (const Json errors = report.value("data_errors", Json::array()); !errors.empty())
    for (const Json& line : errors) out.push_back(line.get<std::string>());
  if (const std::size_t leaked = report.value("leaked", std::size_t{0}); leaked > 0)
    out.push_back(std::to_string(leaked) +
                  " held-out examples that are in the training set too were not asked");
  if (report.contains("behaviour")) look_at_answers(report, out);
  look_at_losses(report, out);
  if (report.contains("memorised") && count_of(report.at("memorised"), "longest_words") >= 20)
    out.push_back("a tuned answer repeats " +
                  std::to_string(count_of(report.at("memorised"), "longest_words")) +
                  " words of the training answers in a row");
  return out;
}

std::string tuning_section(const Json& report) {
  if (report.is_null()) return "";
  if (is_picture_report(report)) return picture_section(report);
  const bool asked = report.contains("metrics");
  std::string out = "<p><strong>" + escape_html(report.at("verdict").get<std::string>()) + "</strong>";
  if (asked) out += "<br>" + escape_html(report.at("verdict_few_shot").get<std::string>());
  out += "</p>\n";
  if (asked)
    out += metrics_table(report) + spread_section(report) + "<p>Same " + asked_text_of(report) +
           " held-out prompts for all, greedy.</p>\n";
  if (const std::string few = shown_text(report); asked && !few.empty())
    out += "<p>" + escape_html(few) + ".</p>\n";
  for (const auto& lines : {loss_lines(report), memory_lines(report)})
    for (const std::string& line : lines) out += "<p>" + escape_html(line) + ".</p>\n";
  for (const std::string& text : looks(report)) out += "<p>Look: " + escape_html(text) + ".</p>\n";
  return asked ? out + behaviour_table(report) + answers(report) : out;
}

std::string tuning_summary(const Json& report) {
  if (is_picture_report(report)) return picture_summary(report);
  std::string out;
  const Json metrics = report.value("metrics", Json::object());
  for (const System& system : kSystems) {
    std::string line = system.name, scores;
    line.resize(32, ' ');
    for (const auto& [name, systems] : metrics.items())
      if (systems.contains(system.key)) scores += name + " " + cell(systems.at(system.key)) + "   ";
    if (!scores.empty()) out += line + scores + "\n";
  }
  if (const std::string few = shown_text(report); !few.empty()) out += few + "\n";
  if (!metrics.empty()) out += "asked: " + asked_text_of(report) + " held-out prompts\n";
  if (report.contains("spread")) {
    for (const auto& [name, entry] : report.at("spread").at("metrics").items())
      out += spread_text(name, entry, report.at("spread").at("runs").size()) + "\n";
  }
  for (const auto& lines : {loss_lines(report), memory_lines(report)})
    for (const std::string& line : lines) out += line + "\n";
  out += "verdict: " + report.at("verdict").get<std::string>();
  if (report.contains("verdict_few_shot"))
    out += "\n         " + report.at("verdict_few_shot").get<std::string>();
  for (const std::string& text : looks(report)) out += "\nlook: " + text;
  return out;
}

}  // namespace lathe
