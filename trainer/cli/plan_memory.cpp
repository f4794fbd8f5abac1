#include "trainer/cli/plan_memory.h"

#include "recipes/schema/error.h"
#include "trainer/checks.h"
#include "trainer/report/metrics.h"
#include "trainer/session.h"

namespace lathe {

std::int64_t planned_limit(const PlanArguments& arguments) {
  const auto given = static_cast<std::int64_t>(arguments.memory_per_process);
  return given > 0 ? given : memory_limit() / arguments.processes;
}

void say_memory(Context& context, const Plan& plan, std::int64_t limit, const std::string& advice) {
  context.result["parts"] = Json::object();
  for (const PlanPart& part : plan.parts) {
    context.result["parts"][part.name] = part.bytes;
    if (part.bytes > 0)
      context.say(cat("  ", part.name, ": ", format_bytes(static_cast<double>(part.bytes))));
  }
  context.say(cat("peak memory of a process: about ", format_bytes(static_cast<double>(plan.peak_bytes)),
                  " of ", format_bytes(static_cast<double>(limit))));
  context.result["peak_memory"] = plan.peak_bytes;
  context.result["memory_limit"] = limit;
  context.result["fits"] = advice.empty();
  if (advice.empty()) return;
  context.result["advice"] = advice;
  context.say("does not fit: " + advice);
}

}  // namespace lathe
