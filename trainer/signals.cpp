#include "trainer/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace lathe {

namespace {

std::atomic<int> signals_seen{0};

void on_signal(int) {
  if (signals_seen.fetch_add(1) > 0) _exit(130);
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool stop_requested() { return signals_seen.load() > 0; }

}  // namespace lathe
