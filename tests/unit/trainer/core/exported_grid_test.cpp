// When an export's samples count as those of the weights in memory.
#include "trainer/pictures/exported_grid.h"

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "tests/catch.h"

namespace lathe {
namespace {

TEST_CASE("grids are compared in levels of 255: no point a level off, or a mean of rounding's size") {
  const at::Tensor wanted = at::zeros({2, 3, 4, 4});
  at::Tensor found = wanted.clone();
  found[1][2][3][3] = 0.7 * 2 / 255;
  Json told = compare_grids(found, wanted, true);
  CHECK(told["passed"] == true);
  CHECK(std::abs(told["largest_difference"].get<double>() - 0.7) < 1e-5);
  found[1][2][3][3] = 1.1 * 2 / 255;
  CHECK(compare_grids(found, wanted, true)["passed"] == false);
  CHECK(compare_grids(found, wanted, false)["passed"] == true);
  CHECK(compare_grids(at::full({2, 3, 4, 4}, 0.1), wanted, false)["passed"] == false);
  found[0][0][0][0] = NAN;
  CHECK(compare_grids(found, wanted, true)["passed"] == false);
  CHECK(compare_grids(found, wanted, false)["passed"] == false);
  // What no picture can show is the same.
  CHECK(compare_grids(at::full({1, 1, 2, 2}, 3.0), at::full({1, 1, 2, 2}, 1.0), true)["passed"] == true);
  CHECK_THROWS(compare_grids(at::zeros({1, 3, 4, 4}), wanted, true));
}

TEST_CASE("kohya's and ComfyUI's files are not drawn from: they name no base") {
  CHECK(draws_from_export("diffusers"));
  CHECK(draws_from_export("single_file"));
  CHECK(draws_from_export("peft"));
  CHECK(draws_from_export("textual_inversion"));
  CHECK_FALSE(draws_from_export("kohya"));
  CHECK_FALSE(draws_from_export("comfyui"));
}

}  // namespace
}  // namespace lathe
