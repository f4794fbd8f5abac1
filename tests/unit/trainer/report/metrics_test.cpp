#include "tests/catch.h"

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "trainer/report/metrics.h"

using namespace lathe;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path = fs::temp_directory_path() / cat("lathe_metrics_", getpid());
  Folder() {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
  std::string text(const char* name = "metrics.jsonl") const {
    std::ifstream file(path / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::vector<fs::path> events() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(path)) {
      if (entry.path().filename().string().rfind("events.out.tfevents.", 0) == 0)
        found.push_back(entry.path());
    }
    return found;
  }
};

StepMetrics step_at(std::int64_t step) {
  StepMetrics m;
  m.step = step;
  m.loss = 4.0 / static_cast<double>(step);
  m.learning_rate = 0.001;
  m.grad_norm = 0.5;
  m.tokens = step * 100;
  m.tokens_per_second = 50;
  m.seconds = 2.0 * static_cast<double>(step);
  return m;
}

}  // namespace

TEST_CASE("each step, evaluation and event is one line with the promised keys") {
  Folder run;
  MetricsWriter writer(run.path, 0);
  writer.step(step_at(1));
  EvaluationMetrics evaluation;
  evaluation.set = "validation";
  evaluation.step = 1;
  evaluation.loss = 3.5;
  evaluation.perplexity = 33.1;
  evaluation.bits_per_byte = 1.6;
  evaluation.tokens = 1000;
  evaluation.seconds = 0.25;
  evaluation.samples = {{"Once", " upon \"a\"\xff"}};
  writer.evaluation(evaluation);
  writer.event("spike", {{"loss", 9.0}});
  CHECK(
      run.text() ==
      R"({"step":1,"loss":4.0,"learning_rate":0.001,"grad_norm":0.5,"tokens":100,"tokens_per_second":50.0,"seconds":2.0,"data_seconds":0.0})"
      "\n"
      R"({"step":1,"set":"validation","validation_loss":3.5,"perplexity":33.1,"bits_per_byte":1.6,"tokens":1000,)"
      R"("seconds_evaluating":0.25,"samples":[{"prompt":"Once","text":" upon \"a\")"
      "\xef\xbf\xbd"
      R"("}]})"
      "\n"
      R"({"event":"spike","step":1,"loss":9.0})"
      "\n");
}

TEST_CASE("a loss that is not a number is null, never invalid JSON") {
  Folder run;
  MetricsWriter writer(run.path, 0);
  auto metrics = step_at(1);
  metrics.loss = std::nan("");
  metrics.skipped = true;
  writer.step(metrics);
  const auto line = Json::parse(run.text());
  CHECK(line["loss"].is_null());
  CHECK(line["skipped"] == true);
}

TEST_CASE("resume cuts back to the checkpoint's step, byte for byte, half-written lines too") {
  Folder run;
  {
    MetricsWriter writer(run.path, 0);
    for (int i = 1; i <= 4; ++i) writer.step(step_at(i));
  }
  const std::string whole = run.text();
  std::string expected = whole;
  for (int i = 0; i < 2; ++i) expected.resize(expected.rfind('\n', expected.size() - 2) + 1);
  std::ofstream(run.path / "metrics.jsonl", std::ios::app) << R"({"step":2,"lo)";
  {
    MetricsWriter writer(run.path, 2);
    CHECK(run.text() == expected);
    writer.step(step_at(3));
    writer.step(step_at(4));
  }
  CHECK(run.text() == whole);
  CHECK(run.events().size() == 2);  // also within the same second
  MetricsWriter again(run.path, 0);
  CHECK(run.text().empty());
}

TEST_CASE("a writer whose folder is gone says which file") {
  try {
    MetricsWriter writer("/nonexistent/run", 0);
    FAIL("must throw");
  } catch (const Error& e) {
    CHECK(std::string(e.what()).find("/nonexistent/run/metrics.jsonl") != std::string::npos);
  }
}
