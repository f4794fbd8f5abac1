// metrics.jsonl and TensorBoard events. Every line is one write to a file opened for appending: a reader
// following the file never sees a mixed line, and a killed run loses none that was written.
#include "trainer/report/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "data/io/file_system.h"
#include "trainer/report/tfevents.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

class AppendFile {
 public:
  explicit AppendFile(std::string path) : path_(std::move(path)) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (descriptor_ < 0) fail(path_, ": cannot be opened for writing: ", std::strerror(errno));
  }
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  ~AppendFile() { ::close(descriptor_); }

  void append(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail(path_, ": write: ", std::strerror(errno), " (is the disk full?)");
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
  }
  void sync() { ::fsync(descriptor_); }

 private:
  std::string path_;
  int descriptor_ = -1;
};

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Names sort by time, as TensorBoard reads them; a restart within the same second takes the next one.
std::string event_path(const std::string& directory, double time) {
  char host[256] = "localhost";
  if (gethostname(host, sizeof host - 1) != 0) std::strcpy(host, "localhost");
  for (auto second = static_cast<std::int64_t>(time);; ++second) {
    const std::string prefix = cat("events.out.tfevents.", second, ".");
    bool taken = false;
    for (const auto& entry : fs::directory_iterator(directory)) {
      taken = taken || entry.path().filename().string().rfind(prefix, 0) == 0;
    }
    if (!taken) return (fs::path(directory) / (prefix + host)).string();
  }
}

// A line belongs to a resumed run when it is whole and its step was done by then.
bool keeps(const std::string& line, std::int64_t first_step) {
  const Json value = Json::parse(line, nullptr, false);
  if (!value.is_object()) return false;
  const auto step = value.find("step");
  return step == value.end() || (step->is_number_integer() && step->get<std::int64_t>() <= first_step);
}

// Without a first step everything is done again, evaluations of step 0 included: nothing is kept.
void cut_back(const std::string& path, std::int64_t first_step) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return;
  std::string kept, line;
  bool dropped = false;
  while (std::getline(file, line)) {
    const bool whole = !file.eof();  // getline met the newline
    if (whole && first_step > 0 && keeps(line, first_step)) {
      kept += line + '\n';
    } else {
      dropped = true;
    }
  }
  file.close();
  if (dropped) write_file_atomically(path, kept);
}

std::string dump_line(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string samples_markdown(const std::vector<Sample>& samples) {
  std::string out;
  for (const auto& sample : samples) {
    std::string body = sample.prompt + sample.text;
    for (std::size_t at = 0; (at = body.find('\n', at)) != std::string::npos; at += 5)
      body.replace(at, 1, "\n    ");
    out += "    " + body + "\n\n---\n\n";
  }
  return out;
}

}  // namespace

struct MetricsWriter::State {
  State(const std::string& directory, double time)
      : lines((fs::path(directory) / "metrics.jsonl").string()), events(event_path(directory, time)) {}
  AppendFile lines, events;
  std::string unit;
  std::int64_t last_step = 0;
};

MetricsWriter::MetricsWriter(const std::string& run_directory, std::int64_t first_step, std::string unit) {
  cut_back((fs::path(run_directory) / "metrics.jsonl").string(), first_step);
  const double time = now();
  state_ = std::make_unique<State>(run_directory, time);
  state_->last_step = first_step;
  state_->unit = std::move(unit);
  state_->events.append(tf_record(tf_version_event(time)));
  state_->events.append(tf_record(tf_restart_event(time, first_step > 0 ? first_step + 1 : 0)));
}

MetricsWriter::~MetricsWriter() = default;

void MetricsWriter::step(const StepMetrics& metrics) {
  Json line = {{"step", metrics.step},
               {"loss", metrics.loss},
               {"learning_rate", metrics.learning_rate},
               {"grad_norm", metrics.grad_norm},
               {state_->unit, metrics.tokens},
               {state_->unit + "_per_second", metrics.tokens_per_second},
               {"seconds", metrics.seconds},
               {"data_seconds", metrics.data_seconds}};
  if (metrics.skipped) line["skipped"] = true;
  state_->last_step = metrics.step;
  state_->lines.append(dump_line(line));
  state_->events.append(tf_record(tf_scalars_event(
      now(), metrics.step,
      {{"train/loss", static_cast<float>(metrics.loss)},
       {"train/learning_rate", static_cast<float>(metrics.learning_rate)},
       {"train/grad_norm", static_cast<float>(metrics.grad_norm)},
       {"train/" + state_->unit + "_per_second", static_cast<float>(metrics.tokens_per_second)},
       {"train/" + state_->unit, static_cast<float>(metrics.tokens)}})));
}

void MetricsWriter::evaluation(const EvaluationMetrics& metrics) {
  Json line = {{"step", metrics.step}, {"set", metrics.set}, {"validation_loss", metrics.loss}};
  if (metrics.perplexity > 0) {
    line["perplexity"] = metrics.perplexity;
    line["bits_per_byte"] = metrics.bits_per_byte;
  }
  line[state_->unit] = metrics.tokens;
  line["seconds_evaluating"] = metrics.seconds;
  if (metrics.details.is_object()) line.update(metrics.details);
  if (!metrics.grid.empty()) line["grid"] = metrics.grid;
  if (!metrics.samples.empty()) {
    Json samples = Json::array();
    for (const auto& sample : metrics.samples)
      samples.push_back({{"prompt", sample.prompt}, {"text", sample.text}});
    line["samples"] = std::move(samples);
  }
  state_->last_step = metrics.step;
  state_->lines.append(dump_line(line));
  const double time = now();
  TfScalars scalars = {{metrics.set + "/loss", static_cast<float>(metrics.loss)}};
  if (metrics.perplexity > 0)
    scalars.emplace_back(metrics.set + "/perplexity", static_cast<float>(metrics.perplexity));
  if (metrics.bits_per_byte > 0) {
    scalars.emplace_back(metrics.set + "/bits_per_byte", static_cast<float>(metrics.bits_per_byte));
  }
  state_->events.append(tf_record(tf_scalars_event(time, metrics.step, scalars)));
  if (!metrics.samples.empty()) {
    state_->events.append(tf_record(
        tf_text_event(time, metrics.step, metrics.set + "/samples", samples_markdown(metrics.samples))));
  }
}

void MetricsWriter::event(const std::string& kind, const Json& details) {
  Json line = {{"event", kind}};
  if (!details.is_object() || !details.contains("step")) line["step"] = state_->last_step;
  if (details.is_object()) {
    for (const auto& [key, value] : details.items()) {
      if (key != "event") line[key] = value;
    }
  } else if (!details.is_null()) {
    line["details"] = details;
  }
  state_->lines.append(dump_line(line));
}

void MetricsWriter::flush() {
  state_->lines.sync();
  state_->events.sync();
}

}  // namespace lathe
