#include "trainer/state.h"

#include <cmath>

#include "tests/catch.h"

using namespace lathe;

namespace {

TrainState after(const std::vector<double>& losses, double min_delta) {
  TrainState state;
  for (const double loss : losses) {
    state.step += 2;
    state.remember(loss, min_delta);
  }
  return state;
}

}  // namespace

TEST_CASE("the best step is the lowest loss, whatever counts as improvement for patience") {
  const TrainState falling = after({6.198, 6.132, 6.111}, 5);
  CHECK(falling.best_step == 6);
  CHECK(falling.best_loss == 6.111);
  CHECK(falling.bad_evaluations == 2);  // none of them by 5
  const TrainState turning = after({3, 2.9, 2.95, 2.91}, 0);
  CHECK(turning.best_step == 4);
  CHECK(turning.bad_evaluations == 2);
}

TEST_CASE("small improvements add up against patience, which waits from the last that counted") {
  CHECK(after({3, 2.96}, 0.1).bad_evaluations == 1);
  const TrainState third = after({3, 2.96, 2.92, 2.88}, 0.1);
  CHECK(third.bad_evaluations == 0);
  CHECK(third.patience_loss == 2.88);
  CHECK(after({3, 2.96, 2.99, 2.95}, 0.1).best_step == 8);
  CHECK(after({3, 2.5, 2.5}, 0).bad_evaluations == 1);  // the same is no improvement
  CHECK(after({3, 2.5, 2.5}, 0).best_step == 4);        // and the first of equals is kept
}

TEST_CASE("a loss that is no finite number is never the best") {
  const double none = std::nan("");
  CHECK(after({none, INFINITY}, 0).best_step == -1);
  CHECK(after({none, INFINITY}, 0).bad_evaluations == 2);
  CHECK(after({none, 3, none}, 0).best_step == 4);
  CHECK(after({none, 3, none}, 0).bad_evaluations == 1);
}

TEST_CASE("what a checkpoint holds of the evaluations is read back, and older ones are understood") {
  TrainState state = after({3, 2.96, 2.92}, 0.1);
  const Json json = state.to_json();
  TrainState read = TrainState::from_json(json, "state.json");
  CHECK(read.to_json() == json);
  CHECK(read.patience_loss == 3);
  CHECK(read.best_loss == 2.92);
  Json older = json;
  older.erase("patience_loss");
  CHECK(TrainState::from_json(older, "state.json").patience_loss == 2.92);
}
