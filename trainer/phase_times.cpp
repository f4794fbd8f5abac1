#include "trainer/phase_times.h"

#include <algorithm>

#include "trainer/report/format.h"

namespace lathe {

void PhaseTimes::move(Phase from, Phase to, double seconds) {
  seconds_[static_cast<std::size_t>(from)] -= seconds;
  seconds_[static_cast<std::size_t>(to)] += seconds;
}

void PhaseTimes::turn_to(std::optional<Phase> phase) {
  const auto time = std::chrono::steady_clock::now();
  if (now_) seconds_[static_cast<std::size_t>(*now_)] += std::chrono::duration<double>(time - since_).count();
  since_ = time;
  now_ = phase;
}

Json profile_of(const PhaseTimes& times, std::int64_t steps, double seconds) {
  Json profile{{"steps", steps}, {"seconds", seconds}, {"phases", Json::object()}};
  double left = seconds;
  const auto add = [&](const char* name, double spent) {
    profile["phases"][name] = {
        {"seconds", spent},
        {"share", seconds > 0 ? spent / seconds : 0},
        {"milliseconds_per_step", 1000 * spent / static_cast<double>(std::max<std::int64_t>(1, steps))}};
    left -= spent;
  };
  for (std::size_t i = 0; i < kPhaseNames.size(); ++i)
    add(kPhaseNames[i], times.seconds(static_cast<Phase>(i)));
  add("other", std::max(0.0, left));
  return profile;
}

std::string profile_text(const Json& profile) {
  std::string text = cat("profile: ", profile.at("steps").get<std::int64_t>(), " steps in ",
                         format_fixed(profile.at("seconds").get<double>(), 2), " s");
  for (const char* name : {"data", "forward", "backward", "optimizer", "evaluation", "checkpoint", "other"}) {
    const Json& phase = profile.at("phases").at(name);
    text += cat("\n  ", name, std::string(12 - std::string_view(name).size(), ' '),
                format_fixed(phase.at("seconds").get<double>(), 3), " s, ",
                format_fixed(100 * phase.at("share").get<double>(), 1), " %, ",
                format_fixed(phase.at("milliseconds_per_step").get<double>(), 2), " ms a step");
  }
  return text;
}

}  // namespace lathe
