#include "trainer/report/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <optional>
#include <vector>

#include "trainer/report/format.h"
#include "trainer/report/metrics.h"

namespace lathe {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr auto kPlainInterval = std::chrono::seconds(10);
constexpr std::size_t kRateWindow = 64;  // steps that the estimate looks back
constexpr int kNarrowBar = 8, kWideBar = 40;

std::string steps_text(const ProgressView& view) {
  if (view.total <= 0) return "step " + pad(std::to_string(view.step), 6);
  const std::string total = std::to_string(view.total);
  return pad(std::to_string(view.step), total.size()) + "/" + total;
}

std::string loss_text(double loss) {
  return format_fixed(loss, std::isfinite(loss) && std::fabs(loss) >= 100 ? 1 : 4);
}

// A field of the live line; `rank` says how soon it goes when the terminal is narrow.
struct Field {
  std::string text;
  int rank;
};

std::vector<Field> live_fields(const ProgressView& view) {
  std::vector<Field> fields;
  if (view.total > 0) {
    const double share = static_cast<double>(view.step) / static_cast<double>(view.total);
    fields.push_back({pad(format_fixed(std::floor(100 * std::clamp(share, 0.0, 1.0)), 0), 3) + "%", 4});
  }
  fields.push_back({steps_text(view), 6});
  fields.push_back({"loss " + pad(loss_text(view.loss), 7), 7});
  fields.push_back({"lr " + pad(format_scientific(view.learning_rate, 1), 7), 2});
  fields.push_back({pad(format_count(view.tokens_per_second), 6) + " " + view.rate_unit, 3});
  if (view.memory > 0) fields.push_back({pad(format_bytes(view.memory), 7), 1});
  if (view.total > 0) {
    fields.push_back(
        {"ETA " + pad(view.remaining < 0 ? "?" : format_duration(view.remaining), 12, false), 5});
  }
  return fields;
}

std::size_t joined_width(const std::vector<Field>& fields) {
  std::size_t width = 0;
  for (const auto& field : fields) width += field.text.size() + 2;
  return width < 2 ? 0 : width - 2;
}

std::string bar(const ProgressView& view, int cells, const LineStyle& style) {
  const double share = std::clamp(static_cast<double>(view.step) / static_cast<double>(view.total), 0.0, 1.0);
  const int full = static_cast<int>(share * cells);
  const char* const done = style.unicode ? "\xe2\x94\x81" : "=";                          // heavy line
  const char* const left = style.unicode ? (style.colour ? done : "\xe2\x94\x80") : "-";  // light line
  std::string text = style.colour ? "\x1b[36m" : "";
  for (int i = 0; i < full; ++i) text += done;
  if (style.colour) text += "\x1b[90m";
  for (int i = full; i < cells; ++i) text += left;
  return text + (style.colour ? "\x1b[0m" : "");
}

}  // namespace

std::string live_line(const ProgressView& view, const LineStyle& style) {
  const auto width = static_cast<std::size_t>(std::max(style.columns - 1, 1));
  auto fields = live_fields(view);
  while (fields.size() > 1 && joined_width(fields) > width) {
    fields.erase(std::min_element(fields.begin(), fields.end(),
                                  [](const Field& a, const Field& b) { return a.rank < b.rank; }));
  }
  std::string text;
  for (const auto& field : fields) text += (text.empty() ? "" : "  ") + field.text;
  if (text.size() > width) return text.substr(0, width);
  const int room = static_cast<int>(width - text.size()) - 2;
  const std::string blank(width - text.size(), ' ');
  if (view.total <= 0 || room < kNarrowBar) return text + blank;
  const int cells = std::min(room, kWideBar);
  return bar(view, cells, style) + "  " + text + std::string(room - cells, ' ');
}

std::string plain_line(const ProgressView& view) {
  std::string text = view.total > 0 ? "step " + steps_text(view) : steps_text(view);
  text += "  loss " + loss_text(view.loss) + "  lr " + format_scientific(view.learning_rate, 2) + "  norm " +
          format_significant(view.grad_norm, 3) + "  " + format_count(view.tokens_per_second) + " " +
          view.rate_unit;
  if (view.memory > 0) text += "  " + format_bytes(view.memory);
  if (view.total > 0 && view.remaining >= 0) text += "  ETA " + format_duration(view.remaining);
  return text;
}

struct Progress::State {
  bool quiet = false, live = false;
  LineStyle style;
  ProgressView view;
  double overhead = 0;
  std::deque<std::pair<std::int64_t, double>> recent;  // step, training seconds
  std::optional<Clock::time_point> printed;            // when; empty before the first line
  std::int64_t printed_step = -1;
  bool line_open = false;

  static void write_all(const std::string& text) {
    std::string_view rest = text;
    while (!rest.empty()) {
      const ssize_t written = ::write(STDERR_FILENO, rest.data(), rest.size());
      if (written <= 0) return;  // a closed terminal must not stop training
      rest.remove_prefix(static_cast<std::size_t>(written));
    }
  }

  static int terminal_columns() {
    winsize size{};
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
  }

  double remaining() const {
    if (view.total <= 0 || recent.size() < 2) return view.step >= view.total ? overhead : -1;
    const auto steps = static_cast<double>(recent.back().first - recent.front().first);
    const double seconds = recent.back().second - recent.front().second;
    return static_cast<double>(view.total - view.step) * (seconds / steps) + overhead;
  }

  void print(Clock::time_point time) {
    view.memory = static_cast<double>(memory_use().resident);
    view.remaining = remaining();
    if (live) {
      style.columns = terminal_columns();
      write_all("\r" + live_line(view, style) + "\x1b[K");
      line_open = true;
    } else {
      write_all(plain_line(view) + "\n");
    }
    printed = time;
    printed_step = view.step;
  }
};

Progress::Progress(bool quiet, std::int64_t first_step, std::int64_t total_steps, const std::string& unit)
    : state_(new State) {
  const auto variable = [](const char* name) {
    return std::string_view(std::getenv(name) ? std::getenv(name) : "");
  };
  std::string_view charset = variable("LC_ALL");
  if (charset.empty()) charset = variable("LC_CTYPE");
  if (charset.empty()) charset = variable("LANG");
  state_->quiet = quiet;
  state_->live = isatty(STDERR_FILENO) == 1 && variable("TERM") != "dumb";
  state_->style.colour = variable("NO_COLOR").empty();
  state_->style.unicode = charset.find("UTF-8") != charset.npos || charset.find("utf8") != charset.npos;
  state_->view.step = first_step;
  if (unit == "pictures") state_->view.rate_unit = "img/s";
  state_->view.total = total_steps;
}

Progress::~Progress() {
  if (state_->line_open) State::write_all("\n");
}

void Progress::step(const StepMetrics& metrics) {
  State& s = *state_;
  s.view.step = metrics.step;
  s.view.loss = metrics.loss;
  s.view.learning_rate = metrics.learning_rate;
  s.view.grad_norm = metrics.grad_norm;
  s.view.tokens_per_second = metrics.tokens_per_second;
  if (!s.recent.empty() && metrics.step <= s.recent.back().first) s.recent.clear();  // rolled back
  s.recent.emplace_back(metrics.step, metrics.seconds);
  if (s.recent.size() > kRateWindow) s.recent.pop_front();
  if (s.quiet) return;
  const auto time = Clock::now();
  if (!s.printed ||
      time - *s.printed >= (s.live ? Clock::duration(kRedraw) : Clock::duration(kPlainInterval))) {
    s.print(time);
  }
}

void Progress::set_remaining_overhead(double seconds) { state_->overhead = seconds; }

void Progress::note(const std::string& line) {
  State& s = *state_;
  if (s.quiet) return;
  if (!s.line_open) return State::write_all(line + "\n");
  State::write_all("\r\x1b[K" + line + "\n" + live_line(s.view, s.style));
}

void Progress::done() {
  State& s = *state_;
  if (s.quiet || s.recent.empty()) return;
  if (s.printed_step != s.view.step) s.print(Clock::now());
  if (s.line_open) State::write_all("\n");
  s.line_open = false;
}

}  // namespace lathe
