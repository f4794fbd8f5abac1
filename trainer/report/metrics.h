#pragma once
// What a run tells: metrics.jsonl, TensorBoard events, a progress line, report.html. Torch-free.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/io/json.h"

namespace lathe {

// One optimizer step.
struct StepMetrics {
  std::int64_t step = 0;  // 1-based: steps done
  double loss = 0, learning_rate = 0, grad_norm = 0;
  std::int64_t tokens = 0;  // (or pictures: MetricsWriter's unit) seen since the run's start
  double tokens_per_second = 0;
  double seconds = 0;       // training time since the run's start
  double data_seconds = 0;  // of this step: waiting for its batches
  bool skipped = false;
};

struct Sample {
  std::string prompt, text;
};

struct EvaluationMetrics {
  std::int64_t step = 0;
  std::string set;  // "validation", or the name of one of several; empty: nothing was, samples were drawn
  double loss = 0, perplexity = 0, bits_per_byte = 0;
  std::int64_t tokens = 0;
  double seconds = 0;  // spent evaluating
  std::vector<Sample> samples;
  std::string grid;        // of pictures: a PNG, its path in the run
  Json details = nullptr;  // of a task of its own: more keys for its line
};

// Writes <run>/metrics.jsonl (appended; on resume cut back to the lines of steps <= first_step) and
// <run>/events.out.tfevents.*. `unit` names what a step counts: tokens or pictures.
class MetricsWriter {
 public:
  MetricsWriter(const std::string& run_directory, std::int64_t first_step, std::string unit = "tokens");
  ~MetricsWriter();
  void step(const StepMetrics& metrics);
  void evaluation(const EvaluationMetrics& metrics);
  void event(const std::string& kind, const Json& details);  // spikes, roll-backs, warnings
  void flush();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A live line on a terminal, a plain line every 10 s elsewhere; nothing when quiet. To standard error.
class Progress {
 public:
  Progress(bool quiet, std::int64_t first_step, std::int64_t total_steps, const std::string& unit = "tokens");
  ~Progress();
  void step(const StepMetrics& metrics);
  void set_remaining_overhead(double seconds);  // evaluations still to come, for the ETA
  void note(const std::string& line);           // a line of its own, keeping the live line below
  void done();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct ReportInput {
  std::string run_directory, title;
  Json summary;        // result.json's content
  Json recipe_values;  // resolved recipe as JSON or text
  Json ledger;         // token ledger
  Json tuning;         // the tuning report, or null
};
// report.html: self-contained (inline SVG, no network), plots of loss, validation loss, learning rate,
// gradient norm, throughput; token ledger; samples over time. Reads metrics.jsonl and samples/.
void write_report(const ReportInput& input);

// Memory now and at peak, in bytes, from /proc/self/status: VmRSS, VmHWM, and the parts.
struct MemoryUse {
  std::int64_t resident = 0, peak = 0, anonymous = 0, file = 0, shared = 0;
};
MemoryUse memory_use();
std::int64_t memory_limit();  // cgroup's v2 or v1 limit, else physical memory

std::string format_duration(double seconds);  // "1 h 02 min", "4 min 10 s", "8.3 s"
std::string format_count(double value);       // "5.2 M", "820 k"
std::string format_bytes(double bytes);       // "1.3 GB"

}  // namespace lathe
