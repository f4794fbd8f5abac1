#pragma once
// What `lathe plan` says of memory, of texts and of pictures.
#include "trainer/cli/command.h"
#include "trainer/plan/plan.h"

namespace lathe {

struct PlanArguments {
  std::string recipe;
  std::vector<std::string> overrides;
  int processes = 1;
  bool measure = false;
  double price_per_hour = 0, tokens_per_second = 0;
  std::uint64_t memory_per_process = 0;
};

// Bytes that a process may take: as given, or its share of this machine.
std::int64_t planned_limit(const PlanArguments& arguments);

// advice: empty where the plan fits.
void say_memory(Context& context, const Plan& plan, std::int64_t limit, const std::string& advice);

}  // namespace lathe
