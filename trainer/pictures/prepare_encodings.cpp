#include "trainer/pictures/prepare_encodings.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "checkpoints/bundle/fingerprint.h"
#include "data/images/picture_manifest.h"
#include "data/io/hash.h"
#include "data/shards/cache.h"
#include "trainer/freeze.h"
#include "trainer/report/metrics.h"

namespace lathe {

namespace {

constexpr std::int64_t kShardPoints = 1 << 22;  // of pictures whose latents share a file: 16 of 512 x 512
constexpr std::int64_t kShardBytes = 16 << 20;  // of embeddings of captions
constexpr std::int64_t kMostItems = 4096;

// Tells what there is to do as a phase, then every ten seconds how far it is.
class Teller {
 public:
  Teller(const PrepareProgress& progress, std::string what) : progress_(progress), what_(std::move(what)) {}
  void before(const EncodingWork& work) {
    items_ = work.items;
    last_ = Clock::now();
    phase_ = cat(what_, ": ", work.items, " to encode, ", format_bytes(static_cast<double>(work.bytes)),
                 " in ", work.folder);
    if (work.damaged > 0) phase_ += cat("; ", work.damaged, " damaged files there are made again");
    tell(0);
  }
  void after(std::uint64_t made) {
    if (Clock::now() - last_ > std::chrono::seconds(10)) {
      last_ = Clock::now();
      phase_ = cat(what_, ": ", made, " of ", items_);
    }
    tell(made);
  }

 private:
  using Clock = std::chrono::steady_clock;
  void tell(std::uint64_t made) const {
    if (progress_) progress_(phase_, static_cast<double>(made) / static_cast<double>(items_));
  }
  const PrepareProgress& progress_;
  std::string what_, phase_;
  std::uint64_t items_ = 1;
  Clock::time_point last_;
};

class EncodingPlan {
 public:
  EncodingPlan(const Recipe& recipe, const PictureModel& plan, const PreparedPictures& data,
               const std::string& precision, const PrepareProgress& progress)
      : plan_(plan),
        data_(data),
        precision_(precision),
        progress_(progress),
        cache_(cache_directory(recipe)) {}

  CachedLatents latents(const PictureSet& set);
  CachedTexts texts();

 private:
  Encodings run(const EncodingJob& job, const std::string& what) const {
    Teller teller(progress_, what);
    return prepare_encodings(
        cache_, job, [&](const EncodingWork& work) { teller.before(work); },
        [&](std::uint64_t made) { teller.after(made); });
  }
  std::vector<std::string> captions() const;

  const PictureModel& plan_;
  const PreparedPictures& data_;
  const std::string& precision_;
  const PrepareProgress& progress_;
  std::string cache_;
  std::string vae_sha256_;
  std::shared_ptr<AutoencoderKL> vae_;  // made when something is to be encoded
  std::shared_ptr<ClipText> encoder_;
};

// What the values of an item are, one after the other.
Json parts(const std::vector<std::pair<std::string, std::vector<std::int64_t>>>& shapes) {
  Json list = Json::array();
  for (const auto& [name, shape] : shapes) list.push_back(Json::array({name, shape}));
  return list;
}

// The pixels that the VAE sees, whatever file and variant they are of.
std::string pixel_key(const PictureBatch& batch) {
  Sha256 hash;
  hash.update(cat(batch.channels, ' ', batch.height, ' ', batch.width, '\n'));
  hash.update(std::as_bytes(std::span(batch.pixels)));
  return hash.hex();
}

CachedLatents EncodingPlan::latents(const PictureSet& set) {
  if (vae_sha256_.empty()) vae_sha256_ = tensors_fingerprint(plan_.vae_tensors);
  PictureSet once = set;
  once.repeats.clear();
  const PictureLoader loader(once, 0, /*shuffle=*/false);  // every variant, size after size
  CachedLatents latents;
  std::uint64_t first = 0;
  for (const PictureSize& size : loader.sizes()) {
    const auto rows = static_cast<std::uint64_t>(
        loader.rows_of_one_size(first, static_cast<std::int64_t>(loader.rows_per_epoch() - first)));
    const std::int64_t step = plan_.vae->halvings();
    const std::vector<std::int64_t> shape{plan_.vae->latent_channels, size.height / step, size.width / step};
    std::vector<std::uint64_t> ids;
    for (std::uint64_t row = first; row < first + rows; ++row) ids.push_back(loader.preview(row).id);
    EncodingJob job;
    job.what = "latents";
    job.encoder = {{"moments_of_vae", vae_sha256_},
                   {"config", autoencoder_config(*plan_.vae)},
                   {"precision", "fp32"},
                   {"parts", parts({{"mean", shape}, {"log_variance", shape}})}};
    job.items = rows;
    job.width = static_cast<std::uint64_t>(2 * shape[0] * shape[1] * shape[2]);
    job.each = static_cast<std::uint64_t>(
        std::clamp<std::int64_t>(kShardPoints / (size.width * size.height), 1, kMostItems));
    job.quick = Json{std::filesystem::path(data_.directory).filename().string(), set.name, set.flip,
                     size.width, size.height}
                    .dump();
    job.key = [&, first](std::uint64_t item) { return pixel_key(loader.read(first + item, 1)); };
    job.encode = [&, first](std::uint64_t item, std::span<float> values) {
      if (!vae_) vae_ = build_vae(plan_);
      const LatentMoments moments = moments_alone(*vae_, loader.read(first + item, 1), 0);
      const auto half = static_cast<std::size_t>(moments.mean.numel());
      std::copy_n(moments.mean.const_data_ptr<float>(), half, values.begin());
      std::copy_n(moments.log_variance.const_data_ptr<float>(), half,
                  values.begin() + static_cast<std::ptrdiff_t>(half));
    };
    latents.add(run(job, cat("latents of the ", set.name, " pictures")), shape, ids);
    first += rows;
  }
  return latents;
}

// Each once; the empty one first, then as the data has them: what is added comes last.
std::vector<std::string> EncodingPlan::captions() const {
  std::vector<std::string> found{""};
  std::unordered_map<std::string, bool> seen{{"", true}};
  const auto add = [&](const std::vector<std::string>& captions) {
    for (const std::string& caption : captions)
      if (seen.emplace(caption, true).second) found.push_back(caption);
  };
  add(data_.captions);
  for (const PictureSet& set : data_.validation) add(read_captions(set.shards));
  return found;
}

CachedTexts EncodingPlan::texts() {
  const ClipTextSpec& spec = plan_.text_encoder;
  const JointTransformerSpec* mm_dit = plan_.unet ? nullptr : &plan_.transformer;
  const std::vector<std::string> captions = this->captions();
  const at::Tensor ids = token_rows(*plan_.tokenizer, spec, captions);
  const std::int64_t length = ids.size(1), channels = mm_dit ? mm_dit->joint_attention_dim : spec.hidden_size;
  const std::int64_t pooled = mm_dit ? mm_dit->pooled_projection_dim : 0;
  EncodingJob job;
  job.what = "texts";
  job.encoder = {{"text_encoder", tensors_fingerprint(plan_.text_tensors)},
                 {"config", clip_text_config(spec)},
                 {"precision", precision_},
                 {"read_by", mm_dit ? "mm_dit" : "unet"},
                 {"parts", parts({{"tokens", {length, channels}}, {"pooled", {pooled}}})}};
  job.items = captions.size();
  job.width = static_cast<std::uint64_t>(length * channels + pooled);
  job.each = static_cast<std::uint64_t>(std::clamp<std::int64_t>(
      kShardBytes / static_cast<std::int64_t>(job.width * sizeof(float)), 1, kMostItems));
  const auto row_of = [&](std::uint64_t item) { return ids.narrow(0, static_cast<std::int64_t>(item), 1); };
  job.key = [&](std::uint64_t item) {
    const std::int64_t* row = ids.const_data_ptr<std::int64_t>() + static_cast<std::int64_t>(item) * length;
    return Sha256().update(std::as_bytes(std::span(row, static_cast<std::size_t>(length)))).hex();
  };
  job.encode = [&](std::uint64_t item, std::span<float> values) {
    const at::NoGradGuard no_grad;
    if (!encoder_) encoder_ = build_text_encoder(plan_, precision_ == "bf16" ? at::kBFloat16 : at::kFloat);
    const TextCondition text = read_texts(*encoder_, row_of(item), mm_dit);
    const auto copy = [&](const at::Tensor& part, std::size_t at) {
      const at::Tensor wide = part.to(at::kFloat).contiguous();
      std::copy_n(wide.const_data_ptr<float>(), wide.numel(),
                  values.begin() + static_cast<std::ptrdiff_t>(at));
    };
    copy(text.tokens, 0);
    if (pooled > 0) copy(text.pooled, static_cast<std::size_t>(length * channels));
  };
  return {run(job, "embeddings of captions"), captions, length, channels, pooled};
}

}  // namespace

bool text_is_frozen(const Recipe& recipe, const PictureModel& plan) {
  if (!plan.by_text() || !recipe.textual_inversion.token.empty()) return false;
  if (!recipe.adapter.kind.empty()) return !recipe.adapter.text_encoder;
  if (plan.vae) return true;  // what reads texts well stays as it is
  return std::ranges::all_of(clip_text_parameters(plan.text_encoder), [&](const ParameterInfo& info) {
    return is_frozen("text_encoder." + info.name, recipe.model.freeze);
  });
}

PictureEncodings prepare_picture_encodings(const Recipe& recipe, const PictureModel& plan,
                                           const PreparedPictures& data, const std::string& precision,
                                           const PrepareProgress& progress) {
  PictureEncodings encodings;
  if (!recipe.data.cache_encodings || recipe.model.path.empty()) return encodings;
  EncodingPlan making(recipe, plan, data, precision, progress);
  if (plan.vae) {
    encodings.latents.push_back(making.latents(data.train));
    for (const PictureSet& set : data.validation) encodings.latents.push_back(making.latents(set));
  }
  if (text_is_frozen(recipe, plan)) encodings.texts = making.texts();
  return encodings;
}

}  // namespace lathe
