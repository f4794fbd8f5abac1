#pragma once
// Bytes of a plan's part by its name; a failure where there is none.
#include <string>

#include "tests/catch.h"
#include "trainer/plan/plan.h"

namespace lathe {

inline std::int64_t part(const Plan& plan, const std::string& name) {
  for (const PlanPart& entry : plan.parts)
    if (entry.name == name) return entry.bytes;
  FAIL("no part " << name);
  return 0;
}

}  // namespace lathe
