// Values of the usual Python libraries: the committed ones here, freshly drawn ones through a file (hidden
// case, run by tests/peers/check_metrics.py).
#include <cstdlib>

#include "data/io/file_system.h"
#include "data/io/json.h"
#include "data/metrics/metric.h"
#include "tests/catch.h"
#include "tests/places.h"

using namespace lathe;

namespace {

using Texts = std::vector<std::string>;

// Our values in the places of the file's: {pairs: [[prediction, reference]], labels: [[[...], [...]]],
// paired: [[[..], [..]]]}.
Json values_of(const Json& cases) {
  Json out = {{"pairs", Json::array()}, {"labels", Json::array()}, {"paired", Json::array()}};
  for (const auto& pair : cases["pairs"]) {
    Json row = Json::object();
    for (const auto& metric : metrics()) {
      if (metric.mean)
        row[std::string(metric.name)] = metric.one(pair[0].get<std::string>(), pair[1].get<std::string>());
    }
    out["pairs"].push_back(row);
  }
  for (const auto& labels : cases["labels"]) {
    const auto found = labels[0].get<Texts>(), wanted = labels[1].get<Texts>();
    out["labels"].push_back({{"accuracy", accuracy(found, wanted)}, {"macro_f1", macro_f1(found, wanted)}});
  }
  for (const auto& paired : cases["paired"]) {
    const auto a = paired[0].get<std::vector<double>>(), b = paired[1].get<std::vector<double>>();
    const auto result = compare_paired(a, b, 1);
    out["paired"].push_back({{"difference", result.difference}, {"p_value", result.p_value}});
  }
  return out;
}

void compare(const Json& found, const Json& wanted, const std::string& where) {
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    for (const auto& [name, value] : wanted[i].items()) {
      INFO(where << " " << i << " " << name);
      CHECK(found[i][name].get<double>() == Approx(value.get<double>()).margin(1e-9).epsilon(0));
    }
  }
}

}  // namespace

TEST_CASE("metrics equal rouge_score, sacrebleu, scikit-learn and scipy on committed values") {
  const Json golden = read_json(test::source_folder() + "/tests/unit/data/metrics/golden.json");
  REQUIRE(golden["values"]["pairs"].size() >= 60);
  REQUIRE(golden["values"]["labels"].size() >= 5);
  REQUIRE(golden["values"]["paired"].size() >= 5);
  const Json found = values_of(golden["cases"]);
  for (const char* part : {"pairs", "labels", "paired"}) compare(found[part], golden["values"][part], part);
}

TEST_CASE("values of a file of cases", "[.file]") {
  const char* in = std::getenv("LATHE_METRICS_CASES");
  const char* out = std::getenv("LATHE_METRICS_VALUES");
  REQUIRE((in && out));
  write_file_atomically(out, values_of(read_json(in)).dump());
}
