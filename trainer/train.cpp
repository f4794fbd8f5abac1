#include "trainer/train.h"

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cmath>
#include <utility>

#include "trainer/allocator.h"
#include "trainer/signals.h"
#include "trainer/spike_watch.h"

namespace lathe {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Sums over the rows of one optimizer step, over all ranks.
struct StepSums {
  double loss = 0, targets = 0, units = 0, stop = 0, time_up = 0, waited = 0;
  bool abandoned = false;  // a signal came between two of its micro-batches
};

class TrainingLoop {
 public:
  explicit TrainingLoop(Session& session)
      : s_(session),
        watch_(session.recipe().train.spike_sigma, session.state.norm_window, session.state.loss_window),
        reducer_(*session.ranks, session.parameters),
        progress_(session.options.quiet || !session.leader(), session.state.step, session.last_step,
                  session.task->unit()) {
    if (s_.leader()) metrics_ = std::make_unique<MetricsWriter>(s_.run.path, s_.state.step, s_.task->unit());
  }

  TrainOutcome run() {
    if (s_.state.step == 0) evaluate();
    if (s_.state.step == 0 && any_rank_stops()) stop_before_first_step("evaluating step 0");
    outcome_.first_evaluation = outcome_.last_evaluation;
    if (stops_here()) outcome_.reason = StopReason::StopAfter;
    while (s_.state.step < s_.last_step && !stops_here()) {
      const Clock::time_point start = Clock::now();
      const StepSums sums = forward_backward();
      if (sums.abandoned) {
        clear_gradients(s_.parameters);
        if (s_.state.step == 0) stop_before_first_step("computing step 1");
        outcome_.reason = StopReason::Interrupted;
        break;
      }
      update(sums, start);
      if (const auto reason = stop_reason(sums)) {
        outcome_.reason = *reason;
        break;
      }
    }
    finish();
    return outcome_;
  }

 private:
  // Every rank asks at the same place.
  bool any_rank_stops() { return s_.ranks->sum(stop_requested() ? 1.0 : 0.0) > 0; }

  // Micro-batches of this rank's rows. Gradients are of the summed loss; update() divides by the global
  // count.
  StepSums forward_backward() {
    const PhaseTimes::Scope backward(outcome_.phases, Phase::Backward);  // all but forward()
    const RowRange mine = s_.row_schedule().part(s_.state.cursor);
    const bool accumulating =
        s_.recipe().train.global_batch_size / s_.ranks->info().world_size > s_.micro_batch_size;
    StepSums sums;
    for (std::int64_t row = 0; row < mine.count; row += s_.micro_batch_size) {
      if (row > 0 && any_rank_stops()) {
        sums.abandoned = true;
        return sums;
      }
      const std::int64_t take = std::min(s_.micro_batch_size, mine.count - row);
      const MicroBatchLoss part = forward(mine.first + static_cast<std::uint64_t>(row), take);
      if (row + take >= mine.count) reducer_.prepare();
      part.value.sum.backward();
      if (accumulating) accumulate_gradients(s_.parameters);
      sums.loss += part.value.sum.item<double>();
      sums.targets += static_cast<double>(part.value.count);
      sums.units += static_cast<double>(part.units);
      sums.waited += part.waited;
    }
    reducer_.finish();
    sums.stop = stop_requested() ? 1 : 0;
    const auto& minutes = s_.recipe().train.max_minutes;
    sums.time_up = s_.leader() && minutes && s_.state.seconds >= *minutes * 60 ? 1 : 0;
    const auto all =
        s_.ranks->sum(std::vector<double>{sums.loss, sums.targets, sums.units, sums.stop, sums.time_up});
    return {all[0], all[1], all[2], all[3], all[4], sums.waited};
  }

  MicroBatchLoss forward(std::uint64_t first, std::int64_t count) {
    const PhaseTimes::Scope scope(outcome_.phases, Phase::Forward);
    MicroBatchLoss part = s_.task->loss(s_, first, count);
    outcome_.phases.move(Phase::Forward, Phase::Data, part.waited);
    return part;
  }

  void update(const StepSums& sums, Clock::time_point start) {
    std::optional<PhaseTimes::Scope> stepping(std::in_place, outcome_.phases, Phase::Optimizer);
    const TrainSection& train = s_.recipe().train;
    const double scale = 1 / std::max(1.0, sums.targets);
    const double loss = sums.loss * scale;
    const double norm = gradient_norm(s_.parameters, scale);
    const Spike spike = train.on_spike != "ignore" ? watch_.judge(loss, norm) : Spike();
    StepOptions step;
    step.learning_rate_scale = schedule_factor(s_.recipe().schedule, s_.state.step, s_.total_steps);
    step.gradient_scale = scale;
    if (train.max_grad_norm > 0 && norm > train.max_grad_norm)
      step.gradient_scale *= train.max_grad_norm / norm;
    if (!spike) s_.optimizer->step(s_.parameters, step);
    if (!spike && s_.averages) s_.averages->update(s_.parameters, s_.state.step + 1);
    watch_.observe(loss, norm);
    clear_gradients(s_.parameters);
    stepping.reset();
    s_.state.cursor += static_cast<std::uint64_t>(s_.row_schedule().rows(s_.state.cursor));
    s_.task->seek(s_.state.cursor);
    s_.state.step += 1;
    s_.state.tokens += static_cast<std::int64_t>(sums.units);
    const double seconds = seconds_since(start);
    s_.state.seconds += seconds;
    report_step({.loss = loss,
                 .grad_norm = norm,
                 .tokens_per_second = sums.units / seconds,
                 .data_seconds = sums.waited,
                 .skipped = static_cast<bool>(spike)},
                step.learning_rate_scale);
    if (spike) handle_spike(spike, loss, norm);
    s_.state.norm_window = watch_.norms();
    s_.state.loss_window = watch_.losses();
    if (due(evaluate_every())) evaluate();
    save_if_due();
  }

  std::int64_t evaluate_every() const {
    const std::int64_t every = s_.recipe().evaluate.every;
    return every > 0 ? every : s_.task->usual_evaluation(s_);
  }

  bool due(std::int64_t every) const { return every > 0 && s_.state.step % every == 0; }

  void report_step(StepMetrics metrics, double factor) {
    if (s_.state.step == 1 || outcome_.seconds_to_first_step == 0)
      outcome_.seconds_to_first_step = seconds_since(started_);
    metrics.step = s_.state.step;
    metrics.learning_rate = factor * s_.recipe().optimizer.learning_rate;
    metrics.tokens = s_.state.tokens;
    metrics.seconds = s_.state.seconds;
    outcome_.data_seconds += metrics.data_seconds;
    outcome_.steps += 1;
    if (metrics_) metrics_->step(metrics);
    progress_.step(metrics);
  }

  void handle_spike(const Spike& spike, double loss, double norm) {
    s_.state.skipped_steps += 1;
    const bool rollback = s_.recipe().train.on_spike == "rollback";
    if (metrics_)
      metrics_->event(
          rollback ? "rollback" : "skipped_step",
          Json{{"step", s_.state.step}, {"spike_of", spike.name()}, {"loss", loss}, {"grad_norm", norm}});
    progress_.note(cat(
        "step ", s_.state.step, ": loss ", loss, ", gradient norm ", norm, ": a spike of the ", spike.name(),
        rollback ? ": back to the last checkpoint, its data is passed over" : ": the step is skipped"));
    require(s_.state.skipped_steps <= std::max<std::int64_t>(100, s_.state.step / 50), s_.state.skipped_steps,
            " of ", s_.state.step, " steps were spikes; lower optimizer.learning_rate (now ",
            s_.recipe().optimizer.learning_rate, ") or look at the data around these steps in metrics.jsonl");
    if (rollback && !go_back(s_))
      progress_.note("there is no checkpoint to go back to: the step is skipped only");
  }

  void evaluate() {
    const PhaseTimes::Scope evaluating(outcome_.phases, Phase::Evaluation);
    const AllocatorScope scope;
    const Clock::time_point start = Clock::now();
    bool first = true;
    for (EvaluationMetrics& metrics : evaluated()) {
      metrics.step = s_.state.step;
      if (metrics.set.empty()) {  // nothing is held out: what it draws is all there is to see
        evaluated_at_ = s_.state.step;
        if (metrics_ && !metrics.grid.empty())
          metrics_->event("samples", Json{{"step", metrics.step}, {"grid", metrics.grid}});
        progress_.note(cat("step ", s_.state.step, ": samples in ", metrics.grid));
        continue;
      }
      if (metrics_) metrics_->evaluation(metrics);
      if (s_.state.step > 0 || first)
        progress_.note(cat("step ", s_.state.step, ": ", s_.task->one_line(metrics)));
      if (std::exchange(first, false)) remember(metrics);
    }
    const std::int64_t every = evaluate_every();
    const std::int64_t left =
        every > 0 ? (s_.last_step - s_.state.step + every - 1) / every : (s_.state.step == 0 ? 1 : 0);
    progress_.set_remaining_overhead(static_cast<double>(left) * seconds_since(start));
  }

  // Nothing is saved while the model computes with its averages: in fp32 they stand where the masters are.
  std::vector<EvaluationMetrics> evaluated() {
    const AveragesInUse averages(s_.averages.get(), s_.parameters);
    return s_.task->evaluate(s_);
  }

  // Keeps the best step and counts evaluations without improvement.
  void remember(const EvaluationMetrics& metrics) {
    outcome_.last_evaluation = metrics;
    evaluated_at_ = s_.state.step;
    if (s_.state.step == 0) return;
    const bool best = s_.state.remember(metrics.loss, s_.recipe().early_stopping.min_delta);
    if (best && s_.recipe().checkpoint.keep_best) save();
  }

  // A slow disk does not hold training up: while a checkpoint is being written, the next periodic one is
  // owed, and made of the step at which that is done. The best one and the last wait. So does every one where
  // spikes go back to the newest: which that is must not depend on the disk's speed.
  void save_if_due() {
    owed_ = owed_ || due(s_.recipe().checkpoint.every);
    if (!owed_ || !s_.writer || s_.state.step >= s_.last_step) return;
    if (s_.recipe().train.on_spike == "rollback" || !s_.writer->busy()) return save();
    if (!std::exchange(slow_disk_told_, true))
      progress_.note(cat("step ", s_.state.step,
                         ": a checkpoint is due while the one before is still being written; "
                         "it is made once that is done"));
  }

  void save() {
    owed_ = false;
    if (!s_.writer || saved_at_ == s_.state.step) return;
    const PhaseTimes::Scope saving(outcome_.phases, Phase::Checkpoint);
    s_.writer->save(s_.state, s_.trained(), s_.recipe().checkpoint.keep_last,
                    s_.recipe().checkpoint.keep_best);
    saved_at_ = s_.state.step;
  }

  bool stops_here() const { return s_.options.stop_after && s_.state.step >= *s_.options.stop_after; }

  std::optional<StopReason> stop_reason(const StepSums& sums) const {
    if (sums.stop > 0) return StopReason::Interrupted;
    if (stops_here()) return StopReason::StopAfter;
    if (sums.time_up > 0) return StopReason::TimeUp;
    const std::int64_t patience = s_.recipe().early_stopping.patience;
    if (patience > 0 && s_.state.bad_evaluations >= patience) return StopReason::EarlyStopping;
    return std::nullopt;
  }

  // An interrupted run saves at once; a finished one is evaluated first, so that the best step can be its
  // last.
  void finish() {
    const bool stopped_short =
        outcome_.reason == StopReason::Interrupted || outcome_.reason == StopReason::StopAfter;
    release_free_blocks();  // the copy that is saved needs room, the next step none
    require(
        s_.state.step == 0 || s_.state.skipped_steps < s_.state.step, "each of the ", s_.state.step,
        " steps was skipped, for its loss or gradient was no finite number: nothing was learned; look for "
        "values that are not finite in the base (lathe inspect), or lower optimizer.learning_rate");
    if (!stopped_short && evaluated_at_ != s_.state.step) evaluate();
    require(s_.state.best_step >= 0 || evaluated_at_ != s_.state.step ||
                outcome_.last_evaluation.set.empty() || std::isfinite(outcome_.last_evaluation.loss),
            "the run diverged: its held-out loss is no finite number at step ", s_.state.step,
            " and was none before; lower optimizer.learning_rate (now ", s_.recipe().optimizer.learning_rate,
            ") and start over with --fresh");
    save();
    if (const PhaseTimes::Scope saving(outcome_.phases, Phase::Checkpoint); s_.writer) s_.writer->wait();
    outcome_.seconds = s_.state.seconds - seconds_before_;
    outcome_.wall_seconds = seconds_since(started_);
    progress_.done();
    if (metrics_) metrics_->flush();
  }

  Session& s_;
  SpikeWatch watch_;
  GradientReducer reducer_;
  Progress progress_;
  std::unique_ptr<MetricsWriter> metrics_;
  TrainOutcome outcome_;
  Clock::time_point started_ = Clock::now();
  double seconds_before_ = s_.state.seconds;
  std::int64_t evaluated_at_ = -1, saved_at_ = -1;
  bool owed_ = false, slow_disk_told_ = false;
};

}  // namespace

TrainOutcome train(Session& session) { return TrainingLoop(session).run(); }

}  // namespace lathe
