// Bedrock's two files of figures: files and columns as its documentation names them, values worked out by
// hand.
#include "trainer/report/bedrock_csv.h"

#include <filesystem>

#include "tests/catch.h"
#include "tests/temporary_folder.h"

using namespace lathe;

TEST_CASE("Bedrock's columns, steps and epochs from 0, perplexity the exponential of the loss") {
  const TemporaryFolder run;
  // 10 rows, 4 a step: steps 0, 1 and 2 begin in the first epoch (rows 0, 4 and 8), step 3 in the second (row
  // 12).
  run.write("metrics.jsonl", R"({"step":0,"set":"validation","validation_loss":2.0,"perplexity":9}
{"step":1,"loss":1.5,"learning_rate":0.1}
{"step":2,"loss":0.6931471805599453,"learning_rate":0.1}
{"step":3,"loss":null,"learning_rate":0.1}
{"event":"spike","step":3,"loss":9.0}
{"step":3,"set":"validation","validation_loss":1.0}
{"step":3,"set":"other","validation_loss":7.0}
{"step":4,"loss":0.0,"learning_rate":0.1}
{"step":4,"set":"validation","validation_loss":0.5}
)");
  write_bedrock_csv(run.path(), 4, 10);
  CHECK(read_bytes(run / "step_wise_training_metrics.csv") ==
        "step_number,epoch_number,training_loss,perplexity\n"
        "0,0,1.5,4.48168907\n"
        "1,0,0.693147181,2\n"
        "2,0,,\n"
        "3,1,0,1\n");
  CHECK(read_bytes(run / "validation_metrics.csv") ==
        "step_number,epoch_number,validation_loss,perplexity\n"
        "0,0,2,7.3890561\n"
        "3,1,1,2.71828183\n"
        "4,1,0.5,1.64872127\n");
}

TEST_CASE("after folds the held-out losses are their mean") {
  const TemporaryFolder run;
  run.write("metrics.jsonl", R"({"step":1,"loss":1.0,"learning_rate":0.1})");
  for (const char* fold : {"fold-1", "fold-2", "fold-1-seed-6", "fold-2-seed-6"}) {
    std::filesystem::create_directories(run / (std::string("parts/") + fold));
    run.write(std::string("parts/") + fold + "/metrics.jsonl",
              std::string(R"({"step":0,"set":"validation","validation_loss":2.0})") + "\n" +
                  R"({"step":3,"set":"validation","validation_loss":)" + (fold[5] == '1' ? "1.0" : "3.0") +
                  "}\n" + (fold[5] == '1' ? R"({"step":6,"set":"validation","validation_loss":9.0})" : "") +
                  "\n");
  }
  write_bedrock_csv(run.path(), 4,
                    20);  // a fold of two reads 10 of the 20 rows: its step 3 is in its second epoch
  CHECK(read_bytes(run / "validation_metrics.csv") ==
        "step_number,epoch_number,validation_loss,perplexity\n"
        "0,0,2,7.3890561\n"
        "3,1,2,7.3890561\n");
}

TEST_CASE("without a validation set there is no file of it") {
  const TemporaryFolder run;
  run.write("metrics.jsonl", R"({"step":1,"loss":1.0,"learning_rate":0.1})");
  write_bedrock_csv(run.path(), 1, 1);
  CHECK(std::filesystem::exists(run / "step_wise_training_metrics.csv"));
  CHECK(!std::filesystem::exists(run / "validation_metrics.csv"));
}
