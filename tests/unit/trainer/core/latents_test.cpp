// Latents that a network is trained on: drawn from a VAE's distribution of a picture, by counters alone.
#include "trainer/pictures/latents.h"

#include <ATen/core/Tensor.h>
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "models/diffusion/fill_in.h"
#include "tests/catch.h"

namespace lathe {
namespace {

std::shared_ptr<AutoencoderKL> tiny_vae() {
  AutoencoderSpec spec;
  spec.block_out_channels = {4, 4};
  spec.layers_per_block = 1;
  spec.norm_num_groups = 2;
  spec.latent_channels = 2;
  spec.scaling_factor = 0.5;
  spec.shift_factor = 0.25;
  const auto vae = std::make_shared<AutoencoderKL>(spec, at::kFloat);
  at::manual_seed(5);
  const at::NoGradGuard no_grad;
  for (auto& parameter : vae->parameters()) parameter.normal_(0, 0.4);
  return vae;
}

PictureBatch batch_of(const std::vector<std::uint64_t>& ids, const std::vector<std::uint64_t>& visits) {
  PictureBatch batch;
  batch.count = static_cast<std::int64_t>(ids.size());
  batch.channels = 3;
  batch.height = batch.width = 8;
  batch.ids = ids;
  batch.visits = visits;
  for (const std::uint64_t id : ids)
    for (int i = 0; i < 3 * 8 * 8; ++i)
      batch.pixels.push_back(static_cast<float>((static_cast<int>(id) * 37 + i * 11) % 100) / 50.0F - 1);
  return batch;
}

TEST_CASE("latents are a function of the seed, the visit and the picture") {
  const auto vae = tiny_vae();
  LatentSource source(vae, 9);
  const at::Tensor both = source.read(batch_of({1, 2}, {0, 0}), 0);
  CHECK(both.sizes() == at::IntArrayRef({2, 2, 4, 4}));
  LatentSource fresh(vae, 9);
  CHECK(at::equal(fresh.read(batch_of({2}, {0}), 0), both.narrow(0, 1, 1)));  // alone, and not kept before
  CHECK(at::equal(source.read(batch_of({2}, {0}), 1), both.narrow(0, 1, 1)));
  CHECK_FALSE(at::equal(source.read(batch_of({2}, {1}), 0), both.narrow(0, 1, 1)));
  CHECK_FALSE(at::equal(LatentSource(vae, 10).read(batch_of({2}, {0}), 0), both.narrow(0, 1, 1)));
}

TEST_CASE("latents have the mean and the deviation that the VAE says, shifted and scaled") {
  const at::NoGradGuard no_grad;
  const auto vae = tiny_vae();
  LatentSource source(vae, 9);
  std::vector<at::Tensor> draws;
  for (std::uint64_t visit = 0; visit < 400; ++visit)
    draws.push_back(source.read(batch_of({3}, {visit}), 0) / 0.5 + 0.25);
  const at::Tensor all = at::cat(draws);
  const LatentMoments wanted = vae->encode(to_tensor(batch_of({3}, {0})));
  const at::Tensor deviation = at::exp(0.5 * wanted.log_variance);
  const at::Tensor mean = all.sum(0) / 400, spread = ((all - mean).square().sum(0) / 399).sqrt();
  const at::Tensor off = (mean - wanted.mean[0]).abs() / deviation[0];
  CHECK(off.max().item<double>() < 4.5 / 20);  // of 400 draws: 4.5 deviations of a mean
  CHECK(at::allclose(spread, deviation[0], 0.2, 0));
}

TEST_CASE("masks are averaged over the points of a place; without a VAE pictures are what is seen") {
  PictureBatch batch = batch_of({1}, {0});
  CHECK_FALSE(LatentSource(tiny_vae(), 1).mask(batch).defined());
  for (int i = 0; i < 64; ++i) batch.masks.push_back(i % 8 == 0 ? 1.0F : 0.0F);  // the first column
  const at::Tensor mask = LatentSource(tiny_vae(), 1).mask(batch);
  CHECK(mask.sizes() == at::IntArrayRef({1, 1, 4, 4}));
  CHECK(at::allclose(mask[0][0].select(1, 0), at::full({4}, 0.5)));
  CHECK(mask.sum().item<float>() == Approx(2));
  LatentSource none;
  CHECK(at::equal(none.read(batch, 0), to_tensor(batch)));
  CHECK(none.mask(batch).sizes() == at::IntArrayRef({1, 1, 8, 8}));
}

TEST_CASE("a quarter of the masks hide everything, the others a box or an ellipse inside the picture") {
  int whole = 0, boxes = 0, ellipses = 0;
  double smallest = 1;
  for (std::uint64_t sample = 0; sample < 2000; ++sample) {
    const at::Tensor mask = random_mask({4, Purpose::Noise, 3, 0, sample}, 16, 24);
    REQUIRE(mask.sizes() == at::IntArrayRef({1, 16, 24}));
    const double share = mask.mean().item<double>();
    smallest = std::min(smallest, share);
    if (share == 1) {
      ++whole;
      continue;
    }
    if (share == 0) continue;  // between the places' middles
    const at::Tensor rows = std::get<0>(mask[0].max(1)), columns = std::get<0>(mask[0].max(0));
    const bool filled = mask.sum().item<double>() == rows.sum().item<double>() * columns.sum().item<double>();
    ++(filled ? boxes : ellipses);  // the smallest ellipses are boxes of places
  }
  CHECK(whole > 430);
  CHECK(whole < 580);
  CHECK(boxes > 700);
  CHECK(ellipses > 500);
  CHECK(smallest < 0.02);
  const RandomKey key{4, Purpose::Noise, 3, 5, 6};
  CHECK(at::equal(random_mask(key, 16, 24), random_mask(key, 16, 24)));
}

TEST_CASE("beside the latents stand the mask at their size and the latents of what it leaves") {
  const auto vae = tiny_vae();  // halves the sides once
  const PictureBatch batch = batch_of({1, 2}, {0, 0});
  const at::Tensor pictures = to_tensor(batch);
  at::Tensor masks = at::zeros({2, 1, 8, 8});
  masks[0][0].narrow(1, 0, 4).fill_(1);
  masks[1].fill_(1);
  const at::Tensor beside = fill_in_condition(*vae, pictures, masks);
  REQUIRE(beside.sizes() == at::IntArrayRef({2, 3, 4, 4}));
  CHECK(beside[0][0].narrow(1, 0, 2).min().item<float>() == 1);
  CHECK(beside[0][0].narrow(1, 2, 2).max().item<float>() == 0);
  at::Tensor left = pictures.narrow(0, 0, 1).clone();
  left.narrow(3, 0, 4).zero_();
  CHECK(
      at::allclose(beside.narrow(0, 0, 1).narrow(1, 1, 2), vae->scaled(vae->encode(left).mean), 1e-5, 1e-6));
  CHECK(at::allclose(beside.narrow(0, 1, 1), all_hidden(*vae, 4, 4), 1e-5, 1e-6));
  const LatentSource source(vae, 9);
  CHECK(at::equal(source.beside(batch), source.beside(batch)));
  bool differs = false;  // two visits may both hide everything
  for (std::uint64_t visit = 1; visit < 6; ++visit)
    differs = differs || !at::equal(source.beside(batch), source.beside(batch_of({1, 2}, {visit, visit})));
  CHECK(differs);
}

}  // namespace
}  // namespace lathe
