#include "tests/catch.h"

#include <cstdlib>
#include <map>
#include <string>

#include "recipes/schema/error.h"
#include "trainer/parallel/ranks.h"

using namespace lathe;

namespace {

const char* const kKnown[] = {"LATHE_RANK",
                              "LATHE_WORLD_SIZE",
                              "LATHE_LOCAL_RANK",
                              "LATHE_LOCAL_WORLD_SIZE",
                              "LATHE_MASTER_ADDRESS",
                              "LATHE_MASTER_PORT",
                              "LATHE_LISTEN_DESCRIPTOR",
                              "LATHE_RANK_TIMEOUT",
                              "RANK",
                              "WORLD_SIZE",
                              "LOCAL_RANK",
                              "LOCAL_WORLD_SIZE",
                              "MASTER_ADDR",
                              "MASTER_PORT",
                              "TORCHELASTIC_USE_AGENT_STORE",
                              "TORCHELASTIC_RESTART_COUNT",
                              "OMPI_COMM_WORLD_RANK",
                              "OMPI_COMM_WORLD_SIZE",
                              "OMPI_COMM_WORLD_LOCAL_RANK",
                              "OMPI_COMM_WORLD_LOCAL_SIZE",
                              "OMPI_MCA_ess_base_jobid",
                              "PMIX_NAMESPACE",
                              "PMI_RANK",
                              "PMI_SIZE",
                              "MPI_LOCALRANKID",
                              "MPI_LOCALNRANKS",
                              "SLURM_PROCID",
                              "SLURM_NTASKS",
                              "SLURM_LOCALID",
                              "SLURM_NODEID",
                              "SLURM_STEP_ID",
                              "SLURM_STEP_NUM_TASKS",
                              "SLURM_STEP_NODELIST",
                              "SLURM_STEP_TASKS_PER_NODE",
                              "SLURM_TASKS_PER_NODE",
                              "SLURM_JOB_NODELIST",
                              "SLURM_NODELIST",
                              "SLURM_JOB_ID",
                              "SLURM_RESTART_COUNT",
                              "ENVIRONMENT"};

RankInfo with(const std::map<std::string, std::string>& variables) {
  for (const char* name : kKnown) unsetenv(name);
  for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
  struct Clean {
    ~Clean() {
      for (const char* name : kKnown) unsetenv(name);
    }
  } clean;
  return rank_from_environment();
}

std::string message(const std::map<std::string, std::string>& variables) {
  try {
    with(variables);
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::Usage);
    return e.what();
  }
  return "";
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("nothing set is one rank") {
  const auto info = with({});
  CHECK(info.rank == 0);
  CHECK(info.world_size == 1);
  CHECK(info.launcher == "single");
}

TEST_CASE("ours comes before torchrun") {
  const auto info = with({{"LATHE_RANK", "1"},
                          {"LATHE_WORLD_SIZE", "2"},
                          {"LATHE_MASTER_PORT", "4000"},
                          {"RANK", "5"},
                          {"WORLD_SIZE", "8"},
                          {"LATHE_RANK_TIMEOUT", "9"}});
  CHECK(info.launcher == "lathe");
  CHECK(info.rank == 1);
  CHECK(info.world_size == 2);
  CHECK(info.local_rank == 1);
  CHECK(info.master_port == 4000);
  CHECK(info.timeout_seconds == 9);
}

TEST_CASE("torchrun") {
  const auto info = with({{"RANK", "5"},
                          {"WORLD_SIZE", "8"},
                          {"LOCAL_RANK", "1"},
                          {"LOCAL_WORLD_SIZE", "4"},
                          {"MASTER_ADDR", "host1"},
                          {"MASTER_PORT", "29501"},
                          {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                          {"TORCHELASTIC_RESTART_COUNT", "3"},
                          {"SLURM_PROCID", "0"},
                          {"SLURM_NTASKS", "2"}});
  CHECK(info.launcher == "torchrun");
  CHECK(info.rank == 5);
  CHECK(info.world_size == 8);
  CHECK(info.local_rank == 1);
  CHECK(info.local_world_size == 4);
  CHECK(info.master_address == "host1");
  CHECK(info.master_port == 29501);
  CHECK(info.agent_store);
  CHECK(info.store_prefix == "3");
}

TEST_CASE("Slurm: the first host leads, the port comes from the job, tasks are counted per node") {
  const std::map<std::string, std::string> job = {{"SLURM_PROCID", "5"},
                                                  {"SLURM_NTASKS", "6"},
                                                  {"SLURM_LOCALID", "1"},
                                                  {"SLURM_NODEID", "1"},
                                                  {"SLURM_STEP_ID", "0"},
                                                  {"SLURM_STEP_NODELIST", "gpu[07-08]"},
                                                  {"SLURM_STEP_TASKS_PER_NODE", "4,2"},
                                                  {"SLURM_JOB_ID", "123"}};
  const auto info = with(job);
  CHECK(info.launcher == "slurm");
  CHECK(info.rank == 5);
  CHECK(info.world_size == 6);
  CHECK(info.local_rank == 1);
  CHECK(info.local_world_size == 2);
  CHECK(info.master_address == "gpu07");
  CHECK(info.master_port >= 12000);
  CHECK(info.master_port < 32000);
  auto other = job;
  other["SLURM_JOB_ID"] = "124";
  CHECK(with(other).master_port != info.master_port);
  other["SLURM_STEP_TASKS_PER_NODE"] = "3(x2)";
  other["MASTER_PORT"] = "2000";
  CHECK(with(other).local_world_size == 3);
  CHECK(with(other).master_port == 2000);
  // The batch script's own shell is no rank, whatever its variables say.
  CHECK(with({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "2"}, {"SLURM_JOB_ID", "1"}, {"ENVIRONMENT", "BATCH"}})
            .launcher == "single");
}

TEST_CASE("node lists of Slurm") {
  CHECK(first_slurm_host("alone") == "alone");
  CHECK(first_slurm_host("a1,b2") == "a1");
  CHECK(first_slurm_host("gpu[003-005,7],x1") == "gpu003");
  CHECK(first_slurm_host("n[5,9]") == "n5");
  CHECK(first_slurm_host("n[1-2].site.org,m") == "n1.site.org");
  CHECK(first_slurm_host("a,n[1-2]") == "a");
}

TEST_CASE("Open MPI and PMI") {
  const auto info = with({{"OMPI_COMM_WORLD_RANK", "1"},
                          {"OMPI_COMM_WORLD_SIZE", "2"},
                          {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                          {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                          {"PMIX_NAMESPACE", "job.1"}});
  CHECK(info.launcher == "openmpi");
  CHECK(info.rank == 1);
  CHECK(info.master_address == "127.0.0.1");
  CHECK(info.master_port >= 12000);
  CHECK(contains(message({{"OMPI_COMM_WORLD_RANK", "0"},
                          {"OMPI_COMM_WORLD_SIZE", "2"},
                          {"OMPI_COMM_WORLD_LOCAL_SIZE", "1"}}),
                 "MASTER_ADDR"));
  const auto intel = with({{"PMI_RANK", "3"},
                           {"PMI_SIZE", "4"},
                           {"MPI_LOCALRANKID", "1"},
                           {"MPI_LOCALNRANKS", "2"},
                           {"MASTER_ADDR", "h"},
                           {"MASTER_PORT", "7"}});
  CHECK(intel.launcher == "pmi");
  CHECK(intel.local_rank == 1);
  CHECK(intel.master_address == "h");
}

TEST_CASE("half an environment is an error that names what is missing") {
  CHECK(contains(message({{"RANK", "0"}}), "WORLD_SIZE is missing"));
  CHECK(contains(message({{"WORLD_SIZE", "2"}}), "RANK is missing"));
  CHECK(contains(message({{"RANK", "0"}, {"WORLD_SIZE", "2"}}), "MASTER_ADDR"));
  CHECK(contains(message({{"LATHE_RANK", "0"}, {"LATHE_WORLD_SIZE", "2"}}), "LATHE_MASTER_PORT"));
  CHECK(contains(message({{"RANK", "2"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "h"}, {"MASTER_PORT", "1"}}),
                 "rank 2 of 2"));
  CHECK(contains(message({{"RANK", "1x"}, {"WORLD_SIZE", "2"}}), "found '1x'"));
}
