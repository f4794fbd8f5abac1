#pragma once
// What a value may be, beside its type; printed in errors, in the reference table and in the JSON Schema.
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace lathe {

struct Constraint {
  std::vector<std::string> choices;  // empty: any text
  bool has_range = false;
  double min = 0, max = 0;  // inclusive
};

inline Constraint choice(std::initializer_list<const char*> values) {
  Constraint c;
  for (const char* v : values) c.choices.emplace_back(v);
  return c;
}

template <class A, class B>
Constraint range(A min, B max) {
  Constraint c;
  c.has_range = true;
  c.min = static_cast<double>(min);
  c.max = static_cast<double>(max);
  return c;
}

}  // namespace lathe
