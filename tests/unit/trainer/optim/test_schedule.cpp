#include "tests/catch.h"
#include "trainer/optim/optimizer.h"

using namespace lathe;

namespace {

ScheduleSection schedule(const std::string& name, std::int64_t warmup, double low = 0.1, double decay = 0.2) {
  return {.name = name, .warmup_steps = warmup, .min_lr_ratio = low, .decay_ratio = decay};
}

}  // namespace

TEST_CASE("warm-up starts at 1 / steps and ends at 1", "[optim]") {
  for (const char* name : {"constant", "linear", "cosine", "wsd"}) {
    CHECK(schedule_factor(schedule(name, 4), 0, 100) == 0.25);
    CHECK(schedule_factor(schedule(name, 4), 1, 100) == 0.5);
    CHECK(schedule_factor(schedule(name, 4), 3, 100) == 1);
    CHECK(schedule_factor(schedule(name, 4), 4, 100) == 1);
    CHECK(schedule_factor(schedule(name, 0), 0, 100) == 1);
    CHECK(schedule_factor(schedule(name, 200), 99, 100) == 0.5);
  }
}

TEST_CASE("schedules by hand", "[optim]") {
  CHECK(schedule_factor(schedule("constant", 0), 99, 100) == 1);
  // after 1 step of warm-up, 10 intervals: half way is step 6
  CHECK(schedule_factor(schedule("linear", 1, 0.2), 6, 12) == Approx(0.6));
  CHECK(schedule_factor(schedule("linear", 1, 0.2), 11, 12) == Approx(0.2));
  CHECK(schedule_factor(schedule("cosine", 1, 0.2), 6, 12) == Approx(0.6));
  CHECK(schedule_factor(schedule("cosine", 1, 0.0), 11, 12) == Approx(0).margin(1e-15));
  CHECK(schedule_factor(schedule("cosine", 0, 0.0), 1, 4) == Approx(0.75));  // cos 60 degrees
  // the last fifth of 10 steps: steps 8 and 9
  CHECK(schedule_factor(schedule("wsd", 0, 0.0), 7, 10) == 1);
  CHECK(schedule_factor(schedule("wsd", 0, 0.0), 8, 10) == Approx(0.5));
  CHECK(schedule_factor(schedule("wsd", 0, 0.1), 9, 10) == Approx(0.1));
  CHECK(schedule_factor(schedule("wsd", 0, 0.1, 0.0), 9, 10) == 1);
}

TEST_CASE("schedules beyond the last step stay at the floor, and one step is the peak", "[optim]") {
  for (const char* name : {"linear", "cosine", "wsd"})
    CHECK(schedule_factor(schedule(name, 0, 0.1), 500, 100) == Approx(0.1));
  for (const char* name : {"constant", "linear", "cosine"})
    CHECK(schedule_factor(schedule(name, 0), 0, 1) == 1);
}
