#include "tests/catch.h"

#include <iostream>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "trainer/report/metrics.h"
#include "trainer/report/progress.h"

using namespace lathe;

namespace {

ProgressView example() {
  return {.step = 120,
          .total = 300,
          .loss = 3.21434,
          .learning_rate = 9.1e-4,
          .grad_norm = 0.812,
          .tokens_per_second = 2130,
          .memory = 1.31e9,
          .remaining = 250};
}

// What `body` prints to standard error, which is `write_end` meanwhile.
template <class Body>
std::string captured(int read_end, int write_end, Body body) {
  const int saved = dup(STDERR_FILENO);
  dup2(write_end, STDERR_FILENO);
  body();
  dup2(saved, STDERR_FILENO);
  close(saved);
  // A terminal hands bytes on in its own time: read until a mark of our own comes through.
  const std::string mark = "<end>";
  REQUIRE(write(write_end, mark.data(), mark.size()) == static_cast<ssize_t>(mark.size()));
  std::string out;
  char block[4096];
  while (!out.ends_with(mark)) {
    const ssize_t size = read(read_end, block, sizeof block);
    REQUIRE(size > 0);
    out.append(block, static_cast<std::size_t>(size));
  }
  out.resize(out.size() - mark.size());
  return out;
}

template <class Body>
std::string captured_pipe(Body body) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const auto out = captured(ends[0], ends[1], body);
  close(ends[0]);
  close(ends[1]);
  return out;
}

StepMetrics step_at(std::int64_t step, double seconds) {
  StepMetrics metrics;
  metrics.step = step;
  metrics.loss = 2.5;
  metrics.learning_rate = 1e-3;
  metrics.seconds = seconds;
  return metrics;
}

}  // namespace

TEST_CASE("the live line fills the width exactly and keeps its places") {
  for (int columns = 1; columns < 200; ++columns) {
    CHECK(live_line(example(), {.columns = columns}).size() ==
          static_cast<std::size_t>(std::max(columns - 1, 1)));
  }
  auto later = example();
  later.step = 9;
  later.loss = 10.5;
  later.tokens_per_second = 99;
  later.memory = 5e8;
  later.remaining = 7300;
  const std::string a = live_line(example(), {.columns = 120}), b = live_line(later, {.columns = 120});
  CHECK(a == std::string(14, '=') + std::string(23, '-') +
                 "   40%  120/300  loss  3.2143  lr 9.1e-04   2.1 k tok/s   1.3 GB  ETA 4 min 10 s  ");
  for (const char* label : {"loss", "lr", "tok/s", "ETA"}) CHECK(a.find(label) == b.find(label));
}

TEST_CASE("a narrow terminal keeps the loss, a diverged run prints nan") {
  auto view = example();
  CHECK(live_line(view, {.columns = 15}) == "loss  3.2143  ");
  view.loss = std::nan("");
  CHECK(plain_line(view) ==
        "step 120/300  loss nan  lr 9.10e-04  norm 0.812  2.1 k tok/s  1.3 GB  ETA 4 min 10 s");
}

TEST_CASE("a log gets the first line, then one every ten seconds, then the last; quiet gets none") {
  const auto run = [](bool quiet) {
    return captured_pipe([&] {
      Progress progress(quiet, 0, 100);
      for (int i = 1; i <= 100; ++i) progress.step(step_at(i, i * 0.01));
      progress.note("saved");
      progress.done();
    });
  };
  const auto text = run(false);
  CHECK(text.rfind("step   1/100  loss 2.5000", 0) == 0);
  CHECK(text.find("\nsaved\nstep 100/100") != std::string::npos);
  CHECK(std::count(text.begin(), text.end(), '\n') == 3);
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(run(true).empty());
}

TEST_CASE("a terminal gets one line; NO_COLOR is honoured; notes keep the line below") {
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0) {
    std::cout << "SKIPPED: a terminal's line: there is no pseudo-terminal here (/dev/pts)\n";
    return;
  }
  REQUIRE(grantpt(terminal) == 0);
  REQUIRE(unlockpt(terminal) == 0);
  const int slave = open(ptsname(terminal), O_RDWR | O_NOCTTY);
  REQUIRE(slave >= 0);
  winsize size{};
  size.ws_col = 100;
  ioctl(slave, TIOCSWINSZ, &size);
  setenv("TERM", "xterm", 1);
  const auto run = [&] {
    return captured(terminal, slave, [] {
      Progress progress(false, 0, 100);
      progress.step(step_at(1, 1));
      progress.step(step_at(2, 2));
      progress.note("saved");
      progress.set_remaining_overhead(2);
      progress.done();
    });
  };
  unsetenv("NO_COLOR");
  CHECK(run().find("\x1b[36m") != std::string::npos);
  setenv("NO_COLOR", "1", 1);
  const auto text = run();
  unsetenv("NO_COLOR");
  CHECK(text.find("\x1b[36m") == std::string::npos);
  CHECK(text.find("\r\x1b[Ksaved\r\n") != std::string::npos);
  CHECK(text.find("ETA 1 min 40 s") != std::string::npos);  // 98 steps of a second and two of evaluation
  close(slave);
  close(terminal);
}
