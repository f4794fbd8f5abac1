// When a sample counts as a copy of a training picture.
#include "trainer/pictures/picture_report.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>

#include "tests/catch.h"

namespace lathe {
namespace {

// Pictures (N, 1, 2, 2) of one value each, so that distances are differences of values.
at::Tensor plain(const std::vector<double>& values) {
  std::vector<at::Tensor> all;
  for (const double value : values) all.push_back(at::full({1, 1, 2, 2}, value));
  return at::cat(all);
}

TEST_CASE("a copy is nearer to a training picture than half of what is usual") {
  const at::Tensor training = plain({-0.8, -0.4, 0, 0.4, 0.8});
  const Json report = copy_report(plain({-0.8, 0.05, 0.61, 0.2}), training, {0, 1, 2, 3, 4}, {});
  CHECK(report["real"].get<double>() == Approx(0.4));
  CHECK(report["pictures"] == 4);
  CHECK(report["copies"] == 3);  // 0.61 is 0.19 from 0.8; 0.2 lies in the middle
  CHECK(report["rate"].get<double>() == Approx(0.75));
  CHECK(report["held_out"] == false);
}

TEST_CASE("crops and mirror images of one picture are not two pictures") {
  const at::Tensor training = plain({-0.8, -0.79, 0, 0.01, 0.8, 0.81});
  const at::Tensor samples = plain({0.1, -0.7, 0.6});
  const Json told = copy_report(samples, training, {0, 0, 1, 1, 2, 2}, {});
  CHECK(told["real"].get<double>() == Approx(0.79).margin(0.02));
  CHECK(told["copies"] == 3);
  CHECK(copy_report(samples, training, {0, 1, 2, 3, 4, 5}, {})["copies"] ==
        0);  // as six pictures they would hide it
}

TEST_CASE("held-out pictures say what is usual where there are some") {
  const at::Tensor training = plain({-0.5, 0.5});
  const Json report = copy_report(plain({0.45, 0.2}), training, {0, 1}, plain({0.3, 0.7}));
  CHECK(report["real"].get<double>() == Approx(0.2));
  CHECK(report["copies"] == 1);
  CHECK(report["held_out"] == true);
}

}  // namespace
}  // namespace lathe
