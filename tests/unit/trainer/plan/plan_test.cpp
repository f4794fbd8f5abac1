// The plan's books against the allocator itself, weights and FLOPs against counts by hand, and advice against
// its own plan.
#include "trainer/plan/plan.h"

#include <c10/core/CPUAllocator.h>

#include <map>
#include <optional>
#include <regex>

#include "data/random/philox.h"
#include "tests/catch.h"
#include "tests/unit/trainer/plan/plan_part.h"
#include "trainer/allocator.h"
#include "trainer/plan/books.h"
#include "trainer/plan/speed.h"

namespace lathe {
namespace {

constexpr std::int64_t kKilo = 1024;

DecoderSpec small_llama() {
  DecoderSpec spec;
  spec.vocab_size = 1024;
  spec.hidden_size = 256;
  spec.intermediate_size = 512;
  spec.num_layers = 2;
  spec.num_heads = spec.num_kv_heads = 4;
  spec.head_size = 64;
  spec.max_positions = 512;
  return spec;
}

}  // namespace

TEST_CASE("a time is the least of repeats, however many of them a busy machine preempts", "[plan]") {
  int calls = 0;
  const auto preempted_first = [&] { return ++calls <= 15 ? 0.01 : 1e-4 * (1 + 0.01 * (calls % 3)); };
  CHECK(least_seconds(preempted_first) == Approx(1e-4));
  calls = 0;
  const auto mostly_preempted = [&] { return ++calls % 7 == 0 ? 1e-4 : 0.008 + 1e-3 * (calls % 5); };
  CHECK(least_seconds(mostly_preempted) == Approx(1e-4));
  CHECK(calls < 70);  // half a second
  calls = 0;
  CHECK(least_seconds([&] { return ++calls, 1e-3; }) == Approx(1e-3));
  CHECK(calls <= 51);  // 50 ms where all agree
  calls = 0;
  CHECK(least_seconds([&] { return 3.0 - ++calls; }) == Approx(0));
  CHECK(calls == 3);  // a long one is no longer for a preemption
}

TEST_CASE("a base in 4 bits weighs what its codes and scales do", "[plan]") {
  PlanSettings settings;
  settings.adapter_rank = 4;
  settings.adapter_targets = {"all-linear"};
  settings.nf4 = true;
  settings.base_bytes = 2 * parameter_count(small_llama());
  const std::int64_t matrices = 2 * (4 * 256 * 256 + 3 * 256 * 512),
                     beside = 5 * 256 * 2;  // norms; the tables stay in their file
  const std::int64_t adapters = 2 * (4 * (256 + 256) + 3 * (256 + 512)) * 4 * (2 + 4);  // bf16 and masters
  for (const bool nested : {true, false}) {
    settings.double_quantised = nested;
    const std::int64_t scales = nested ? matrices / 64 + matrices / 64 / 256 * 4 : matrices / 64 * 4;
    CHECK(part(make_plan(small_llama(), settings), "weights") == beside + adapters + matrices / 2 + scales);
  }
}

TEST_CASE("the books follow the allocator through drawn takes and gives", "[plan]") {
  install_allocator();
  const Slack slack = GENERATE(Slack::Quarter, Slack::Least);
  release_free_blocks();
  keep_free_blocks(slack);
  AllocatorBooks books(slack);
  const std::size_t before = allocator_use().in_use + allocator_use().cached;
  std::vector<std::pair<c10::DataPtr, AllocatorBooks::Held>> alive;
  std::int64_t mapped = 0;
  const RandomStream stream({.seed = 3, .purpose = Purpose::Adapter});
  for (std::uint64_t i = 0; i < 4000; ++i) {
    // The share that is given swings, so that the cache fills, is taken from, and outgrows its floor.
    const bool give = !alive.empty() && stream.uniform(3 * i) < ((i / 500) % 2 == 0 ? 0.3 : 0.7);
    if (give) {
      const auto which =
          static_cast<std::size_t>(stream.uniform(3 * i + 1) * static_cast<double>(alive.size()));
      alive.erase(alive.begin() + static_cast<std::ptrdiff_t>(which));
    } else {
      const auto bytes =
          static_cast<std::size_t>(64 * kKilo) + static_cast<std::size_t>(stream.uniform(3 * i + 2) * 3e6);
      alive.emplace_back(c10::GetCPUAllocator()->allocate(bytes),
                         books.take(static_cast<std::int64_t>(bytes), Use::Weights));
    }
    mapped =
        std::max(mapped, static_cast<std::int64_t>(allocator_use().in_use + allocator_use().cached - before));
    REQUIRE(books.at_peak().sum() == mapped);
  }
  CHECK(mapped > (400 << 20));
}

TEST_CASE("a freed block counts as what it held last until another size class wants the memory back",
          "[plan]") {
  AllocatorBooks books;
  auto first = books.take(100 * kKilo, Use::Activations);
  CHECK(books.at_peak().sum() == 104 * kKilo);  // classes of an eighth of 64 KiB
  first.reset();
  const auto second = books.take(104 * kKilo, Use::Gradients);
  CHECK(books.at_peak().sum() == 104 * kKilo);  // the same class: the same block
  const auto third = books.take(105 * kKilo, Use::Loss);
  CHECK(books.at_peak().sum() == (104 + 112) * kKilo);
  CHECK(books.at_peak().mapped[static_cast<std::size_t>(Use::Gradients)] == 104 * kKilo);
  CHECK(books.at_peak().mapped[static_cast<std::size_t>(Use::Activations)] == 0);
}

TEST_CASE("parameters, weights, moments and FLOPs are those counted by hand", "[plan]") {
  const DecoderSpec spec = small_llama();
  PlanSettings settings;
  settings.bf16 = settings.tiled_attention = false;
  settings.sequence_length = 128;
  const Plan plan = make_plan(spec, settings);
  // 2 embeddings of 1024 x 256; a block: 4 x 256 x 256 + 3 x 256 x 512 + 2 norms; one norm at the end.
  const std::int64_t embeddings = 2 * 1024 * 256, blocks = 2 * (4 * 256 * 256 + 3 * 256 * 512),
                     norms = 5 * 256;
  CHECK(plan.parameters == embeddings + blocks + norms);
  CHECK(plan.trained == plan.parameters);
  CHECK(part(plan, "weights") == 4 * plan.parameters);  // all of these sizes are size classes
  CHECK(part(plan, "optimizer") == 8 * plan.parameters);
  CHECK(part(plan, "checkpoint copy") == 12 * plan.parameters - part(plan, "base file"));
  // 6 a weight that is multiplied (not the table that is looked up), and 12 L C T / 2 for causal attention.
  CHECK(plan.flops_per_token ==
        Approx(6.0 * static_cast<double>(embeddings / 2 + blocks + norms) + 12.0 * 2 * 256 * 64));
  std::int64_t sum = 0;
  for (const PlanPart& entry : plan.parts) sum += entry.bytes;
  CHECK(sum == plan.peak_bytes);
}

TEST_CASE("what saves memory saves it in the plan", "[plan]") {
  const DecoderSpec spec = small_llama();
  PlanSettings settings;
  settings.sequence_length = 512;
  settings.micro_batch_size = settings.global_batch_size = 16;
  const std::int64_t whole = make_plan(spec, settings).peak_bytes;
  const auto with = [&](const auto& change) {
    PlanSettings changed = settings;
    change(changed);
    return make_plan(spec, changed);
  };
  CHECK(with([](PlanSettings& s) { s.activation_checkpointing = true; }).peak_bytes < whole);
  CHECK(with([](PlanSettings& s) { s.micro_batch_size = 4; }).peak_bytes < whole);
  CHECK(with([](PlanSettings& s) { s.bf16 = s.tiled_attention = false; }).peak_bytes > whole);
  CHECK(with([](PlanSettings& s) { s.batch_tokens = {100, 700, 300}; }).peak_bytes < whole);
  const Plan adapted = with([](PlanSettings& s) {
    s.adapter_rank = 8;
    s.adapter_targets = {"q_proj", "down_proj"};
  });
  CHECK(adapted.trained == 2 * (8 * (256 + 256) + 8 * (512 + 256)));
  CHECK(part(adapted, "optimizer") == 8 * adapted.trained);
  const Plan frozen = with([](PlanSettings& s) { s.frozen = {"layers.0", "embed_tokens"}; });
  CHECK(frozen.trained == frozen.parameters - (4 * 256 * 256 + 3 * 256 * 512 + 512) - 1024 * 256);
}

TEST_CASE("a frozen base counts once: mapped, or copied a tensor at a time from a wider file", "[plan]") {
  DecoderSpec spec = small_llama();
  spec.vocab_size = 200 * kKilo;  // its head, read last, is most of it
  PlanSettings settings;
  settings.sequence_length = 1;
  settings.adapter_rank = 1;
  settings.adapter_targets = {"q_proj"};
  const Plan without = make_plan(spec, settings);
  settings.base_bytes = 2 * without.parameters;
  const Plan mapped = make_plan(spec, settings);
  CHECK(part(mapped, "base file") == Approx(settings.base_bytes).epsilon(1e-3));  // norms are copied
  CHECK(part(mapped, "weights") == part(without, "weights"));
  CHECK(mapped.peak_bytes - without.peak_bytes == part(mapped, "base file"));
  settings.base_bytes = 4 * without.parameters;
  const Plan copied = make_plan(spec, settings);
  CHECK(part(copied, "weights") + part(copied, "base file") >= 2 * without.parameters);
  CHECK(copied.peak_bytes < without.peak_bytes + settings.base_bytes * 5 / 4);  // half of it is one tensor
  settings.export_bytes = 5;
  settings.export_logits = 3;
  const Plan exported = make_plan(spec, settings);
  const std::int64_t widened = 4 * std::min<std::int64_t>(1 << 23, without.parameters);
  CHECK(exported.peak_bytes == part(exported, "program") + part(exported, "tokenizer") +
                                   9 * without.parameters + widened + 12 * spec.vocab_size);
}

TEST_CASE("advice names the largest micro-batch that fits, and it fits", "[plan]") {
  const DecoderSpec spec = small_llama();
  PlanSettings settings;
  settings.sequence_length = 2048;
  settings.micro_batch_size = settings.global_batch_size = 32;
  const std::int64_t whole = make_plan(spec, settings).peak_bytes;
  CHECK(advice_to_fit(spec, settings, whole).empty());
  bool saw_micro = false, saw_checkpointing = false, saw_length = false;
  const auto number = [](const std::string& text, const std::string& key) -> std::optional<std::int64_t> {
    std::smatch match;
    if (!std::regex_search(text, match, std::regex(key + ": ([0-9]+)"))) return std::nullopt;
    return std::stoll(match[1]);
  };
  PlanSettings least = settings;
  least.micro_batch_size = 1;
  least.activation_checkpointing = true;
  std::vector<std::int64_t> limits = {make_plan(spec, least).peak_bytes - 1};
  for (int percent = 95; percent >= 5; percent -= 2) limits.push_back(whole / 100 * percent);
  for (const std::int64_t limit : limits) {
    const std::string advice = advice_to_fit(spec, settings, limit);
    INFO(limit << " of " << whole << ": " << advice);
    CHECK(advice.find("this run needs about") == 0);
    PlanSettings changed = settings;
    if (const auto micro = number(advice, "micro_batch_size")) changed.micro_batch_size = *micro;
    if (const auto length = number(advice, "sequence_length")) changed.sequence_length = *length;
    changed.activation_checkpointing = advice.find("activation_checkpointing: true") != std::string::npos;
    if (advice.find("would fit") == std::string::npos) {
      CHECK(advice.find("choose a smaller model") != std::string::npos);
      continue;
    }
    CHECK(make_plan(spec, changed).peak_bytes <= limit);
    saw_micro = saw_micro || changed.micro_batch_size < 32;
    saw_checkpointing = saw_checkpointing || changed.activation_checkpointing;
    saw_length = saw_length || changed.sequence_length < 2048;
    if (changed.sequence_length < 2048 || changed.micro_batch_size == 32) continue;
    changed.micro_batch_size *= 2;
    changed.activation_checkpointing = true;
    CHECK(make_plan(spec, changed).peak_bytes > limit);
  }
  CHECK(saw_micro);
  CHECK(saw_checkpointing);
  CHECK(saw_length);
}

}  // namespace lathe
