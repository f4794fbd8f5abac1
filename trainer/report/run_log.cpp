#include "trainer/report/run_log.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>

namespace lathe {
namespace {

double number(const Json& line, const char* key) {
  const auto found = line.find(key);
  const bool present = found != line.end() && found->is_number();
  return present ? found->get<double>() : std::numeric_limits<double>::quiet_NaN();
}

std::int64_t integer(const Json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

std::string text(const Json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_string() ? found->get<std::string>() : "";
}

StepMetrics read_step(const Json& line, const std::string& unit) {
  StepMetrics m;
  m.step = integer(line, "step");
  m.loss = number(line, "loss");
  m.learning_rate = number(line, "learning_rate");
  m.grad_norm = number(line, "grad_norm");
  m.tokens = integer(line, unit.c_str());
  m.tokens_per_second = number(line, (unit + "_per_second").c_str());
  m.seconds = number(line, "seconds");
  const auto skipped = line.find("skipped");
  m.skipped = skipped != line.end() && skipped->is_boolean() && skipped->get<bool>();
  return m;
}

EvaluationMetrics read_evaluation(const Json& line, const std::string& unit) {
  EvaluationMetrics m;
  m.step = integer(line, "step");
  if (line.contains("set")) m.set = text(line, "set");
  m.loss = number(line, "validation_loss");
  m.perplexity = number(line, "perplexity");
  m.bits_per_byte = number(line, "bits_per_byte");
  m.tokens = integer(line, unit.c_str());
  m.grid = text(line, "grid");
  m.seconds = number(line, "seconds_evaluating");
  m.details = line;  // what is left is the task's own
  for (const char* key : {"step", "set", "validation_loss", "perplexity", "bits_per_byte", "grid",
                          "seconds_evaluating", "samples"})
    m.details.erase(key);
  m.details.erase(unit);
  const auto samples = line.find("samples");
  if (samples != line.end() && samples->is_array()) {
    for (const auto& sample : *samples) {
      if (sample.is_object()) m.samples.push_back({text(sample, "prompt"), text(sample, "text")});
    }
  }
  return m;
}

}  // namespace

RunLog read_run_log(const std::string& path) {
  RunLog log;
  std::ifstream file(path, std::ios::binary);
  std::string line_text;
  while (std::getline(file, line_text)) {
    const Json line = Json::parse(line_text, nullptr, false);
    if (!line.is_object()) continue;
    if (line.contains("pictures")) log.unit = "pictures";
    if (line.contains("event")) {
      log.events.push_back(line);
    } else if (line.contains("validation_loss")) {
      auto evaluation = read_evaluation(line, log.unit);
      std::erase_if(log.evaluations, [&](const EvaluationMetrics& earlier) {
        return earlier.step > evaluation.step ||
               (earlier.step == evaluation.step && earlier.set == evaluation.set);
      });
      log.evaluations.push_back(std::move(evaluation));
    } else if (line.contains("loss")) {
      auto step = read_step(line, log.unit);
      while (!log.steps.empty() && log.steps.back().step >= step.step) log.steps.pop_back();
      log.steps.push_back(step);
    }
  }
  return log;
}

const EvaluationMetrics* evaluation_at(const RunLog& log, std::int64_t step, const std::string& set) {
  for (const EvaluationMetrics& evaluation : log.evaluations)
    if (evaluation.step == step && evaluation.set == set) return &evaluation;
  return nullptr;
}

}  // namespace lathe
