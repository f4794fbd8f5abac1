#pragma once
// Where the seconds of training go (`lathe train --profile FILE`). One clock that always runs for one phase:
// a phase begun within another stops the outer one, so no second counts twice. Two readings of the clock a
// phase, some a step: always on. One thread.
#include <array>
#include <chrono>
#include <optional>

#include "data/io/json.h"

namespace lathe {

enum class Phase { Data, Forward, Backward, Optimizer, Evaluation, Checkpoint };
inline constexpr std::array kPhaseNames{"data",      "forward",    "backward",
                                        "optimizer", "evaluation", "checkpoint"};

class PhaseTimes {
 public:
  // The clock runs for `phase` until this goes.
  class Scope {
   public:
    Scope(PhaseTimes& times, Phase phase) : times_(times), before_(times.now_) { times_.turn_to(phase); }
    ~Scope() { times_.turn_to(before_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    PhaseTimes& times_;
    std::optional<Phase> before_;
  };

  // What was measured as `from` was `to`: batches are waited for within the forward pass.
  void move(Phase from, Phase to, double seconds);
  double seconds(Phase phase) const { return seconds_[static_cast<std::size_t>(phase)]; }

 private:
  void turn_to(std::optional<Phase> phase);

  std::array<double, kPhaseNames.size()> seconds_{};
  std::optional<Phase> now_;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

// {steps, seconds, phases: {name: {seconds, share, milliseconds_per_step}}}, "other" being what is left of
// `seconds`; and as lines for people.
Json profile_of(const PhaseTimes& times, std::int64_t steps, double seconds);
std::string profile_text(const Json& profile);

}  // namespace lathe
