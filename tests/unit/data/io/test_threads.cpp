#include "data/io/threads.h"

#include <sched.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/catch.h"
#include "tests/complaints.h"

using namespace lathe;

TEST_CASE("every index is visited once, whatever the number of threads") {
  for (const int threads : {0, 1, 2, 7, 64}) {
    std::vector<std::atomic<int>> visits(1000);
    parallel_for(visits.size(), threads, [&](std::size_t i) { ++visits[i]; });
    for (auto& v : visits) REQUIRE(v == 1);
  }
  parallel_for(0, 4, [](std::size_t) { FAIL("no index to visit"); });
}

TEST_CASE("the work runs on as many threads as asked") {
  std::mutex mutex;
  std::set<std::thread::id> ids;
  parallel_for(64, 4, [&](std::size_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    const std::lock_guard lock(mutex);
    ids.insert(std::this_thread::get_id());
  });
  CHECK(ids.size() == 4);
}

TEST_CASE("the failure that one thread would meet first is the one thrown") {
  for (const int threads : {1, 3, 8}) {
    for (int round = 0; round < 20; ++round) {
      const auto error = error_of([&] {
        parallel_for(500, threads, [](std::size_t i) {
          if (i % 50 == 20) throw std::runtime_error("failed at " + std::to_string(i));
        });
      });
      REQUIRE(error == "failed at 20");
    }
  }
}

TEST_CASE("hardware threads are within the process's affinity") {
  cpu_set_t before, one;
  REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
  CHECK(hardware_threads() >= 1);
  CHECK(hardware_threads() <= CPU_COUNT(&before));
  CPU_ZERO(&one);
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &before)) {
      CPU_SET(i, &one);
      break;
    }
  }
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK(hardware_threads() == 1);
  sched_setaffinity(0, sizeof before, &before);
}
