#pragma once
// The tables and samples of report.html: pieces of HTML, empty when there is nothing to show.
#include <filesystem>
#include <string>

#include "data/io/json.h"
#include "trainer/report/run_log.h"

namespace lathe {

// The evaluation of the first set with the lowest loss; null when there is none.
const EvaluationMetrics* best_evaluation(const RunLog& log);
std::string evaluation_table(const RunLog& log);
std::string ledger_table(const std::string& name,
                         const Json& ledger);  // numbers with bars, nested objects as further tables
// Grids of pictures are read from `run` and stand in the page itself.
std::string samples_over_time(const RunLog& log, const std::filesystem::path& run);
// The grid that was drawn from an export, by what result.json's exports say of it.
std::string exported_samples(const Json& summary, const std::filesystem::path& run);
std::string sample_files(const std::filesystem::path& folder);
std::string events_table(const RunLog& log);

}  // namespace lathe
