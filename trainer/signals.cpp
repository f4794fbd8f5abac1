#include "trainer/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "recipes/schema/error.h"
#include "trainer/parallel/ranks.h"

namespace lathe {

namespace {

std::atomic<int> signals_seen{0};
std::atomic<bool> says_so{true};

void on_signal(int) {
  if (signals_seen.fetch_add(1) > 0) _exit(130);
  if (!says_so) return;
  constexpr char kSaid[] = "\nlathe: stopping, and saving what was trained; again to exit at once\n";
  [[maybe_unused]] const auto written = write(STDERR_FILENO, kSaid, sizeof kSaid - 1);
}

// Nothing can be trained or saved without the rank that ended, so nothing is promised; a checkpoint that is
// being written has the launcher's grace to become whole.
void on_lost_rank(int) { signals_seen.fetch_add(1); }

}  // namespace

void install_signal_handlers(bool says) {
  says_so = says;
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction hangup {};  // a lost terminal; nohup has it ignored already
  if (sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler == SIG_DFL)
    sigaction(SIGHUP, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);  // who reads the progress may go; training goes on
  action.sa_handler = on_lost_rank;
  sigaction(kLostRank, &action, nullptr);
}

bool stop_requested() { return signals_seen.load() > 0; }

void stop_if_requested(const char* doing) {
  if (stop_requested()) stop_before_first_step(doing);
}

void stop_before_first_step(const char* doing) {
  throw Error(cat("interrupted while ", doing,
                  ", before the first step; the same command begins again with what is ready"),
              ExitCode::Interrupted);
}

}  // namespace lathe
