#include "trainer/tuning_rate.h"

#include "tests/catch.h"

using namespace lathe;

TEST_CASE("narrow bases are tuned at higher rates") {
  CHECK(tuning_rate(4096, true) == Approx(2e-4));
  CHECK(tuning_rate(2048, true) == Approx(2e-4));
  CHECK(tuning_rate(2048, false) == Approx(1.8e-5));
  CHECK(tuning_rate(576, true) == Approx(3.8e-4));   // SmolLM2-135M: sqrt(2048 / 576) = 1.886
  CHECK(tuning_rate(896, true) == Approx(3e-4));     // Qwen2.5-0.5B: sqrt(2.286) = 1.512
  CHECK(tuning_rate(128, true) == Approx(8e-4));     // sqrt(16)
  CHECK(tuning_rate(128, false) == Approx(2.8e-4));  // 16 times
}
