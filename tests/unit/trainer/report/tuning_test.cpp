// What the tuning report says: each sentence appears beyond its threshold and not before, the section shows
// what was measured.
#include "trainer/report/tuning.h"

#include "tests/catch.h"
#include "trainer/report/course.h"

using namespace lathe;
using lathe::testing::contains_text;

namespace {

Json system_of(double score) { return {{"score", score}, {"low", score - 0.125}, {"high", score + 0.125}}; }
Json behaviour_of(double never, double repeats, double bytes) {
  return {{"never_stops", never}, {"repeats", repeats}, {"mean_bytes", bytes}};
}

// A run of which nothing has to be said.
Json quiet_report() {
  Json report = {{"examples", 7},
                 {"verdict", "tuned against base: better"},
                 {"verdict_few_shot", "not shown with n = 7"}};
  report["metrics"]["exact_match"] = {{"base", system_of(0.125)}, {"tuned", system_of(0.75)}};
  report["behaviour"] = {{"base", behaviour_of(1, 0.25, 300)},
                         {"few_shot", behaviour_of(0.5, 0, 60)},
                         {"tuned", behaviour_of(0.1, 0.1, 50)},
                         {"wanted", {{"mean_bytes", 40}}}};
  report["general_text"] = {{"base_loss", 2.0}, {"tuned_loss", 2.1}, {"change", 0.05}};
  report["memorised"] = {{"longest_characters", 60}, {"longest_words", 19}};
  report["course"] = {
      {"base_loss", 3.0}, {"best_loss", 2.0}, {"last_loss", 2.2}, {"best_step", 8}, {"last_step", 40}};
  return report;
}

// The one sentence about a report in which one value is changed.
std::string look_at(const char* where, const Json& value) {
  Json report = quiet_report();
  report[Json::json_pointer(where)] = value;
  const std::vector<std::string> looks = tuning_looks(report);
  REQUIRE(looks.size() == 1);
  return looks.front();
}

}  // namespace

TEST_CASE("a run within every bound is told nothing") { CHECK(tuning_looks(quiet_report()).empty()); }

TEST_CASE("each fault of a tuned model has its sentence") {
  CHECK_THAT(look_at("/behaviour/tuned/never_stops", 0.25),
             contains_text("25 % of the tuned answers do not stop"));
  CHECK_THAT(look_at("/behaviour/tuned/repeats", 0.5),
             contains_text("50 % of the tuned answers repeat themselves"));
  CHECK_THAT(look_at("/behaviour/tuned/mean_bytes", 61),
             contains_text("61 bytes on average, the wanted ones 40: their length drifted"));
  CHECK_THAT(look_at("/behaviour/tuned/mean_bytes", 26), contains_text("their length drifted"));
  CHECK_THAT(look_at("/general_text/change", 0.2),
             contains_text("general text rose by 20 %: much was forgotten"));
  CHECK_THAT(look_at("/general_text/change", 0.2), contains_text("(adapter: {kind: lora, rank: 16})"));
  Json adapted = quiet_report();
  adapted["adapter"] = "lora";
  adapted["general_text"]["change"] = 0.2;
  CHECK_THAT(tuning_looks(adapted).front(), contains_text("train fewer weights (adapter.rank)"));
  CHECK_THAT(look_at("/course/last_loss", 2.5),
             contains_text("lowest (2.000) at step 8 of 40 and rose to 2.500: trained too long or too hot"));
  CHECK_THAT(look_at("/course/base_loss", 2.0),
             contains_text("never fell below the base's (2.000): nothing was learned"));
  CHECK_THAT(look_at("/memorised/longest_words", 20),
             contains_text("repeats 20 words of the training answers in a row"));
}

TEST_CASE("a tuned model that a system without knowledge equals is told so") {
  Json report = quiet_report();
  report["decides"] = "exact_match";
  Json& systems = report["metrics"]["exact_match"];
  systems["constant"] = system_of(0.5);
  systems["nearest"] = system_of(0.625);
  CHECK(tuning_looks(report).empty());
  systems["nearest"] = system_of(0.75);
  REQUIRE(tuning_looks(report).size() == 1);
  CHECK_THAT(tuning_looks(report).front(),
             contains_text("the answer of the nearest question alone reaches 0.750, the tuned model 0.750: "
                           "looking up the likeliest example would serve as well"));
  systems["constant"] = system_of(0.875);
  CHECK_THAT(tuning_looks(report).front(),
             contains_text("the commonest training answer alone reaches 0.875"));
}

TEST_CASE("the step that is kept is told, be it the best or not") {
  Json report = quiet_report();
  report["course"]["last_loss"] = 2.5;
  report["step"] = 8;
  CHECK_THAT(tuning_looks(report).front(), contains_text("the best step was kept"));
  report["step"] = 40;
  CHECK_THAT(tuning_looks(report).front(),
             contains_text("measured here is step 40, as checkpoint.keep_best is off"));
  CHECK(tuning_summary(report).find("of them fitted") == std::string::npos);
  report["shown"] = {{"least", 0}, {"most", 2}, {"wanted", 4}};
  for (const std::string& shown : {tuning_section(report), tuning_summary(report)})
    CHECK_THAT(shown, contains_text("base shown examples: 0 to 2 of 4 of them fitted its context"));
}

TEST_CASE("the section shows metrics, behaviour, what was forgotten and what was memorised") {
  Json report = quiet_report();
  report["look"] = {"mind the <gap>"};
  const std::string page = tuning_section(report);
  for (const char* text :
       {"0.750 (0.62 to 0.88)", "not shown with n = 7", "2.000 before, 2.100 after",
        "60 characters, 19 words", "<th scope=\"row\">tuned</th><td>10 %</td><td>10 %</td><td>50</td>",
        "<th scope=\"row\">base</th><td>100 %</td><td>25 %</td><td>300</td>",
        "<th scope=\"row\">wanted</th><td></td><td></td><td>40</td>", "mind the &lt;gap&gt;"})
    CHECK_THAT(page, contains_text(text));
  CHECK(tuning_section(nullptr).empty());
}

TEST_CASE("what was not asked is not shown, and what was cut is said") {
  CHECK(asked_of(64, 310) == "64 of 310");
  CHECK(asked_of(7, 7) == "7");
  Json report = quiet_report();
  report["held_out_prompts"] = 310;
  report["recalled"] = {
      {"asked", 32}, {"of", 40}, {"verbatim", 0.25}, {"longest_characters", 9}, {"longest_words", 3}};
  report["held_out"] = {{"base_loss", 3.0}, {"tuned_loss", 2.7}, {"change", -0.1}};
  for (const std::string& shown : {tuning_section(report), tuning_summary(report)}) {
    for (const char* text : {"7 of 310 held-out prompts",
                             "asked 32 of 40 training prompts, it says 25 % of their answers word for word",
                             "9 characters, 3 words", "held-out loss: 3.000 before, 2.700 after (-10.0 %)",
                             "general text: 2.000 before, 2.100 after (+5.0 %)"})
      CHECK_THAT(shown, contains_text(text));
  }
  const Json bare = {{"verdict", "not shown: nothing was held out"},
                     {"course", {{"first_training_loss", 4.0}, {"training_loss", 1.5}}}};
  CHECK(tuning_looks(bare).empty());
  CHECK(
      tuning_summary(bare) ==
      "training loss: 4.000 at the first step, 1.500 at the last\nverdict: not shown: nothing was held out");
  CHECK_THAT(tuning_section(bare), contains_text("<strong>not shown: nothing was held out</strong></p>"));
}

TEST_CASE("the course of a run is read from its log") {
  RunLog log;
  CHECK(course_of(log, -1, 0) == Json{{"best_step", -1}, {"last_step", 0}});
  CHECK_FALSE(held_loss_at(log, 0).has_value());
  const std::vector<std::pair<std::int64_t, double>> held = {{0, 3.0}, {5, 2.0}, {9, 2.5}},
                                                     trained = {{1, 4.0}, {9, 1.5}};
  for (const auto& [step, loss] : held) {
    EvaluationMetrics evaluation;
    evaluation.step = step;
    evaluation.set = "first";
    evaluation.loss = loss;
    log.evaluations.push_back(evaluation);
    evaluation.set = "second";
    evaluation.loss = 9;
    log.evaluations.push_back(evaluation);
  }
  for (const auto& [step, loss] : trained) {
    StepMetrics metrics;
    metrics.step = step;
    metrics.loss = loss;
    log.steps.push_back(metrics);
  }
  CHECK(course_of(log, 5, 9) == Json{{"best_step", 5},
                                     {"last_step", 9},
                                     {"base_loss", 3.0},
                                     {"best_loss", 2.0},
                                     {"last_loss", 2.5},
                                     {"first_training_loss", 4.0},
                                     {"training_loss", 1.5}});
  CHECK(loss_change(4, 3) == Json{{"base_loss", 4.0}, {"tuned_loss", 3.0}, {"change", -0.25}});
}
