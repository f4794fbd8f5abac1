#pragma once
// Ranks over c10d (Gloo). One process a rank; the launcher is ours (--processes), torchrun, srun or Open MPI:
// their variables are read. A rank that dies makes the others' next collective throw; the launcher stops them
// within a second.
#include <ATen/core/Tensor.h>

#include <csignal>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "trainer/optim/optimizer.h"

namespace lathe {

struct RankInfo {
  int rank = 0, world_size = 1, local_rank = 0, local_world_size = 1;
  std::string master_address = "127.0.0.1";
  int master_port = 0;
  std::string launcher = "single";  // single, lathe, torchrun, slurm, openmpi, pmi
  int listen_descriptor = -1;       // rank 0 under our launcher: the socket that already owns master_port
  bool agent_store = false;         // torchrun's agent serves the store on master_port; rank 0 must not
  std::string store_prefix = "0";   // differs between restarts that meet the same store
  int timeout_seconds = 1800;       // a collective that takes longer throws; LATHE_RANK_TIMEOUT sets it
};

// Reads the environment (precedence: ours, torchrun, Open MPI / PMI, Slurm). Error when half of them are
// there.
RankInfo rank_from_environment();
// The first host of a Slurm node list: "gpu[003-005,7],x1" -> "gpu003".
std::string first_slurm_host(const std::string& node_list);

class Ranks {
 public:
  explicit Ranks(const RankInfo& info);  // joins the group and ignores SIGPIPE; one rank needs no network
  ~Ranks();
  const RankInfo& info() const;
  bool leader() const { return info().rank == 0; }
  void broadcast(std::vector<at::Tensor>& tensors);  // from rank 0
  double sum(double value);
  std::vector<double> sum(std::vector<double> values);
  double max(double value);
  void barrier();
  // Rank 0 does `work` while the others wait, however long it takes as long as rank 0 lives; nobody goes on
  // before it is done. No collective may run inside. Its exception ends rank 0 as usual and the others with
  // an Error that says so.
  void leader_alone(const char* what, const std::function<void()>& work);

 private:
  friend class GradientReducer;
  struct State;
  std::unique_ptr<State> state_;
};

// Sums gradients over ranks in fp32 buckets while backward runs. prepare() before the last micro-batch's
// backward of a step arms the hooks; a parameter that has all its contributions is added to its bucket, which
// takes weight.grad() and the fp32 sum of earlier micro-batches (Parameter.gradient); full buckets are
// reduced while backward goes on. finish() reduces the rest, waits, and leaves the sum over ranks in
// Parameter.gradient (fp32, valid until the next prepare()) with weight.grad() released; a parameter that no
// rank has a gradient for stays without one. accumulate_gradients() may be called between backward and
// finish(). The first step learns how often each parameter is reached (tied weights, recomputed blocks) and
// reduces everything in finish(). Every rank must call both, for the same parameters; parameters must outlive
// the reducer and stay where they are. No-op for one rank.
class GradientReducer {
 public:
  GradientReducer(Ranks& ranks, std::vector<Parameter>& parameters,
                  std::size_t bucket_bytes = std::size_t{8} << 20);
  ~GradientReducer();
  void prepare();
  void finish();
  std::size_t launched() const;  // buckets whose sum has begun since prepare(); 0 for one rank

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// What the launcher sends the other ranks once one has failed, and kills what is left 0.7 s later.
inline constexpr int kLostRank = SIGUSR2;

// --processes N: starts N copies of argv with ranks set, forwards signals, prefixes nothing (only rank 0
// prints), kills the rest within a second when one fails. Returns the exit code: 0, 130 when interrupted,
// else the first failure's; Error naming the rank and the signal when a signal ended it. Call it before
// anything starts threads.
int launch_processes(int processes, const std::vector<std::string>& argv);

}  // namespace lathe
