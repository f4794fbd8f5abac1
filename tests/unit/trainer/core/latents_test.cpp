// Latents that a network is trained on: drawn from a VAE's distribution of a picture, by counters alone.
#include "trainer/pictures/latents.h"

#include <ATen/ATen.h>

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

}  // namespace
}  // namespace lathe
