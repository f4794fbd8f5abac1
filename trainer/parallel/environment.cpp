// Who am I: ranks from the variables of whatever started this process.
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <optional>

#include "recipes/schema/error.h"
#include "trainer/parallel/ranks.h"

namespace lathe {
namespace {

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  if (!value || !*value) return std::nullopt;
  return value;
}

int whole_number(const char* name, const std::string& text, int low, int high) {
  int value = 0;
  const auto end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < low || value > high) {
    fail_usage("environment variable ", name, ": wanted a whole number from ", low, " to ", high, ", found '",
               text, "'");
  }
  return value;
}

int number(const char* name, std::optional<int> fallback = std::nullopt, int low = 0, int high = 1 << 24) {
  const auto text = variable(name);
  if (text) return whole_number(name, *text, low, high);
  if (!fallback)
    fail_usage("environment variable ", name, " is missing; the launcher must set it for every rank");
  return *fallback;
}

constexpr int kHighestPort = 65535;

// Jobs on one machine must not meet: 20000 ports below the range that systems give to outgoing connections.
int port_of(const std::string& job) {
  std::uint32_t hash = 2166136261u;  // FNV-1a
  for (const char c : job) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return 12000 + static_cast<int>(hash % 20000);
}

RankInfo from_lathe() {
  RankInfo info;
  info.launcher = "lathe";
  info.rank = number("LATHE_RANK");
  info.world_size = number("LATHE_WORLD_SIZE", std::nullopt, 1);
  info.local_rank = number("LATHE_LOCAL_RANK", info.rank);
  info.local_world_size = number("LATHE_LOCAL_WORLD_SIZE", info.world_size, 1);
  info.master_address = variable("LATHE_MASTER_ADDRESS").value_or("127.0.0.1");
  info.master_port =
      number("LATHE_MASTER_PORT", info.world_size > 1 ? std::nullopt : std::optional(0), 0, kHighestPort);
  if (info.rank == 0) info.listen_descriptor = number("LATHE_LISTEN_DESCRIPTOR", -1, -1);
  return info;
}

RankInfo from_torchrun() {
  RankInfo info;
  info.launcher = "torchrun";
  info.rank = number("RANK");
  info.world_size = number("WORLD_SIZE", std::nullopt, 1);
  info.local_rank = number("LOCAL_RANK", 0);
  info.local_world_size = number("LOCAL_WORLD_SIZE", 1, 1);
  if (info.world_size > 1) {
    const auto address = variable("MASTER_ADDR");
    if (!address)
      fail_usage(
          "RANK and WORLD_SIZE are set but MASTER_ADDR is missing; the launcher must set it for every rank");
    info.master_address = *address;
    info.master_port = number("MASTER_PORT", std::nullopt, 1, kHighestPort);
  }
  info.agent_store = variable("TORCHELASTIC_USE_AGENT_STORE") == "True";
  info.store_prefix = variable("TORCHELASTIC_RESTART_COUNT").value_or("0");
  return info;
}

// Address and port for launchers that give none: given by the user, else this machine and a port made from
// the job.
void find_master(RankInfo& info, const std::optional<std::string>& host,
                 const std::optional<std::string>& job, const char* advice) {
  if (info.world_size == 1) return;
  const bool one_machine = info.local_world_size == info.world_size;
  const auto address = variable("MASTER_ADDR");
  if (!address && !host && !one_machine) {
    fail_usage(info.launcher, ": the ranks are on several machines and MASTER_ADDR is not set; ", advice);
  }
  info.master_address = address ? *address : host ? *host : "127.0.0.1";
  if (!variable("MASTER_PORT") && !job) fail_usage(info.launcher, ": MASTER_PORT is not set; ", advice);
  info.master_port = number("MASTER_PORT", job ? port_of(*job) : 0, 1, kHighestPort);
}

RankInfo from_open_mpi() {
  RankInfo info;
  info.launcher = "openmpi";
  info.rank = number("OMPI_COMM_WORLD_RANK");
  info.world_size = number("OMPI_COMM_WORLD_SIZE", std::nullopt, 1);
  info.local_rank = number("OMPI_COMM_WORLD_LOCAL_RANK", 0);
  info.local_world_size = number("OMPI_COMM_WORLD_LOCAL_SIZE", 1, 1);
  auto job = variable("PMIX_NAMESPACE");
  if (!job) job = variable("OMPI_MCA_ess_base_jobid");
  find_master(info, std::nullopt, job, "add '-x MASTER_ADDR=<first host> -x MASTER_PORT=29500' to mpirun");
  return info;
}

RankInfo from_pmi() {
  RankInfo info;
  info.launcher = "pmi";
  info.rank = number("PMI_RANK");
  info.world_size = number("PMI_SIZE", std::nullopt, 1);
  info.local_rank = number("MPI_LOCALRANKID", 0);
  info.local_world_size = number("MPI_LOCALNRANKS", 1, 1);
  find_master(info, std::nullopt, std::nullopt,
              "add '-genv MASTER_ADDR <first host> -genv MASTER_PORT 29500' to mpiexec");
  return info;
}

// The shell of a batch script has rank variables too, but is no rank: only what srun starts is.
bool is_slurm_task() {
  if (!variable("SLURM_PROCID")) return false;
  const bool in_step = variable("SLURM_STEP_ID") || variable("SLURM_STEP_NUM_TASKS");
  return in_step || variable("ENVIRONMENT") != "BATCH";
}

// "4(x2),3": tasks on each node, the count of node number `node`.
int slurm_local_tasks(const std::string& text, int node) {
  std::size_t at = 0;
  while (at < text.size()) {
    int tasks = 0, repeat = 1;
    const char* const end = text.data() + text.size();
    auto parsed = std::from_chars(text.data() + at, end, tasks);
    if (parsed.ec != std::errc()) return 1;
    if (end - parsed.ptr > 2 && parsed.ptr[0] == '(' && parsed.ptr[1] == 'x') {
      parsed = std::from_chars(parsed.ptr + 2, end, repeat);
    }
    if (node < repeat) return tasks;
    node -= repeat;
    const auto comma = text.find(',', static_cast<std::size_t>(parsed.ptr - text.data()));
    if (comma == std::string::npos) return 1;
    at = comma + 1;
  }
  return 1;
}

RankInfo from_slurm() {
  RankInfo info;
  info.launcher = "slurm";
  info.rank = number("SLURM_PROCID");
  const char* const size = variable("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS";
  info.world_size = number(size, std::nullopt, 1);
  info.local_rank = number("SLURM_LOCALID", 0);
  auto tasks = variable("SLURM_STEP_TASKS_PER_NODE");
  if (!tasks) tasks = variable("SLURM_TASKS_PER_NODE");
  info.local_world_size = tasks ? slurm_local_tasks(*tasks, number("SLURM_NODEID", 0)) : 1;
  auto nodes = variable("SLURM_STEP_NODELIST");
  if (!nodes) nodes = variable("SLURM_JOB_NODELIST");
  if (!nodes) nodes = variable("SLURM_NODELIST");
  auto job = variable("SLURM_JOB_ID");
  if (job) *job += "." + variable("SLURM_STEP_ID").value_or("");
  find_master(info, nodes ? std::optional(first_slurm_host(*nodes)) : std::nullopt, job,
              "start the ranks with srun, or export MASTER_ADDR and MASTER_PORT");
  info.store_prefix = variable("SLURM_RESTART_COUNT").value_or("0");
  return info;
}

RankInfo from_launcher() {
  if (variable("LATHE_RANK") || variable("LATHE_WORLD_SIZE")) return from_lathe();
  if (variable("RANK") || variable("WORLD_SIZE")) return from_torchrun();
  if (variable("OMPI_COMM_WORLD_RANK") || variable("OMPI_COMM_WORLD_SIZE")) return from_open_mpi();
  if (is_slurm_task()) return from_slurm();  // before PMI: srun sets PMI_RANK as well, with less beside it
  if (variable("PMI_RANK") || variable("PMI_SIZE")) return from_pmi();
  return {};
}

}  // namespace

std::string first_slurm_host(const std::string& node_list) {
  const std::string first = node_list.substr(0, node_list.find_first_of(",["));
  const auto open = node_list.find('[');
  if (open == std::string::npos || open != first.size()) return first;
  const auto close = node_list.find(']', open);
  if (close == std::string::npos) return first;
  const auto end = node_list.find_first_of("-,]", open + 1);
  const auto suffix_end = node_list.find_first_of(",[", close + 1);
  const std::string suffix =
      node_list.substr(close + 1, suffix_end == std::string::npos ? suffix_end : suffix_end - close - 1);
  return first + node_list.substr(open + 1, end - open - 1) + suffix;
}

RankInfo rank_from_environment() {
  RankInfo info = from_launcher();
  if (info.rank >= info.world_size) {
    fail_usage(info.launcher, ": rank ", info.rank, " of ", info.world_size, " ranks; ranks count from 0");
  }
  info.timeout_seconds = number("LATHE_RANK_TIMEOUT", info.timeout_seconds, 1);
  return info;
}

}  // namespace lathe
