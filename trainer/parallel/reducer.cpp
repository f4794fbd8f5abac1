// Bucketed gradient sums that overlap with backward (Li et al., PyTorch Distributed, VLDB 2020), with the
// counting that tied weights and recomputed blocks need: a re-entrant backward reaches a shared weight
// several times.
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include "trainer/parallel/ranks_state.h"

namespace lathe {
namespace {

struct Bucket {
  std::vector<std::size_t> members;  // indices into parameters
  at::Tensor values;        // fp32: the members' gradients, then one flag a member (how many ranks have one)
  std::int64_t size = 0;    // elements of the gradients
  std::size_t missing = 0;  // members that are not in yet
  c10::intrusive_ptr<c10d::Work> work;
  std::vector<at::Tensor> argument;  // c10d wants a vector that outlives the call
};

struct Member {
  std::size_t bucket = 0, place = 0;  // place among the bucket's members
  std::int64_t offset = 0;
  int expected = 0;  // contributions a step, learned; 0 before
  int seen = 0;
  bool gathered = false;
};

}  // namespace

struct GradientReducer::State {
  Ranks::State& ranks;
  std::vector<Parameter>& parameters;
  std::vector<Bucket> buckets;
  std::vector<Member> members;  // parallel to parameters; those that are not trained belong to no bucket
  std::vector<std::size_t> trained;
  std::size_t launched = 0;  // buckets go in their order: the same on all ranks
  bool armed = false, learned = false;

  State(Ranks::State& r, std::vector<Parameter>& p) : ranks(r), parameters(p), members(p.size()) {}

  // The last layers' gradients come first: buckets follow the parameters backwards.
  void make_buckets(std::size_t bucket_bytes) {
    const auto capacity = static_cast<std::int64_t>(std::max<std::size_t>(bucket_bytes / sizeof(float), 1));
    for (std::size_t i = parameters.size(); i-- > 0;) {
      if (!parameters[i].trainable || !parameters[i].weight.requires_grad()) continue;
      const std::int64_t size = parameters[i].weight.numel();
      if (buckets.empty() || (buckets.back().size > 0 && buckets.back().size + size > capacity))
        buckets.emplace_back();
      Bucket& bucket = buckets.back();
      members[i] = {.bucket = buckets.size() - 1, .place = bucket.members.size(), .offset = bucket.size};
      bucket.members.push_back(i);
      bucket.size += size;
      trained.push_back(i);
    }
    for (auto& bucket : buckets) {
      bucket.values = at::empty({bucket.size + static_cast<std::int64_t>(bucket.members.size())}, at::kFloat);
    }
  }

  at::Tensor slice(std::size_t index) const {
    const Member& member = members[index];
    return buckets[member.bucket].values.narrow(0, member.offset, parameters[index].weight.numel());
  }
  at::Tensor flag(std::size_t index) const {
    const Bucket& bucket = buckets[members[index].bucket];
    return bucket.values.narrow(0, bucket.size + static_cast<std::int64_t>(members[index].place), 1);
  }

  // Moves what a parameter has into its bucket.
  void gather(std::size_t index) {
    Parameter& parameter = parameters[index];
    Member& member = members[index];
    const at::Tensor target = slice(index), grad = parameter.weight.grad();
    if (parameter.gradient.defined()) {
      target.copy_(parameter.gradient.reshape(-1));
      if (grad.defined()) target.add_(grad.reshape(-1));
    } else if (grad.defined()) {
      target.copy_(grad.reshape(-1));
    } else {
      target.zero_();
    }
    flag(index).fill_(grad.defined() || parameter.gradient.defined() ? 1.0 : 0.0);
    parameter.weight.mutable_grad().reset();
    parameter.gradient.reset();
    member.gathered = true;
    --buckets[member.bucket].missing;
  }

  void launch_ready() {
    for (; launched < buckets.size() && buckets[launched].missing == 0; ++launched) {
      Bucket& bucket = buckets[launched];
      bucket.argument = {bucket.values};
      ranks.guarded("a gradient sum", [&] { bucket.work = ranks.backend->allreduce(bucket.argument, {}); });
    }
  }

  // After weight.grad() took in one more contribution.
  void contribution(std::size_t index) {
    if (!armed) return;
    at::NoGradGuard no_grad;
    Member& member = members[index];
    ++member.seen;
    if (!learned) return;
    if (!member.gathered && member.seen >= member.expected && member.expected > 0) {
      gather(index);
      launch_ready();
    } else if (member.gathered) {
      late(index);
    }
  }

  // More often than in the first step: still right while its bucket waits for others.
  void late(std::size_t index) {
    at::Tensor& grad = parameters[index].weight.mutable_grad();
    require(members[index].bucket >= launched, "gradients of '", parameters[index].name,
            "' arrived after they were summed over the ranks: this step's graph reaches it more often than "
            "the first step's "
            "did; train such a model with one process");
    slice(index).add_(grad.reshape(-1));
    grad.reset();
  }
};

namespace {

template <class State>
struct Hook : torch::autograd::PostAccumulateGradHook {
  Hook(State* state, std::size_t index) : state_(state), index_(index) {}
  void operator()(const torch::autograd::Variable&) override { state_->contribution(index_); }
  State* state_;
  std::size_t index_;
};

}  // namespace

GradientReducer::GradientReducer(Ranks& ranks, std::vector<Parameter>& parameters, std::size_t bucket_bytes) {
  if (!ranks.state_->backend) return;
  state_ = std::make_unique<State>(*ranks.state_, parameters);
  state_->make_buckets(bucket_bytes);
  for (const std::size_t index : state_->trained) {
    torch::autograd::impl::set_post_acc_grad_hooks(parameters[index].weight,
                                                   std::make_unique<Hook<State>>(state_.get(), index));
  }
}

GradientReducer::~GradientReducer() {
  if (!state_) return;
  for (const std::size_t index : state_->trained) {
    torch::autograd::impl::set_post_acc_grad_hooks(state_->parameters[index].weight, nullptr);
  }
}

void GradientReducer::prepare() {
  if (!state_) return;
  State& s = *state_;
  for (auto& bucket : s.buckets) {
    bucket.missing = bucket.members.size();
    bucket.work.reset();
  }
  for (const std::size_t index : s.trained) {
    s.members[index].seen = 0;
    s.members[index].gathered = false;
  }
  s.launched = 0;
  s.armed = true;
}

std::size_t GradientReducer::launched() const { return state_ ? state_->launched : 0; }

void GradientReducer::finish() {
  if (!state_) return;
  State& s = *state_;
  require(s.armed, "GradientReducer::finish() without prepare()");
  at::NoGradGuard no_grad;
  s.armed = false;
  for (const std::size_t index : s.trained) {
    if (!s.members[index].gathered) s.gather(index);
    s.members[index].expected = std::max(s.members[index].expected, s.members[index].seen);
  }
  s.learned = true;
  s.launch_ready();
  for (auto& bucket : s.buckets) {
    s.ranks.guarded("a gradient sum", [&] { bucket.work->wait(); });
    for (const std::size_t index : bucket.members) {
      if (s.flag(index).item<float>() > 0)
        s.parameters[index].gradient = s.slice(index).view(s.parameters[index].weight.sizes());
    }
  }
}

}  // namespace lathe
