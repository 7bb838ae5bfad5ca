//! How each figure is measured.

/// For the report.
pub const TEXT: &str = "\
- **Rounds.** Each tool goes through all phases in an account of its own, so nothing is left from before; the tools take turns
  in which is first. Between the tools there is nothing but the same process of the local endpoint (`emulator/`), which a plan
  has warmed up. It runs on the same machine and takes its share of it. What is written before (configuration, `terraform
  init`, the workspace) and what an account has before a first deploy (bucket, lock table, zone, role) is not measured.
- **Phases.** A plan where nothing is; the first deploy; a plan that has to find nothing to do; a deploy after the days that logs
  are kept were changed in the configuration, for which nobody waits; a destroy. Both tools plan with `-detailed-exitcode`,
  so a plan that finds something else than it should is a failure. pb-deploy waits for the rollout and healthy targets, Terraform
  does not.
- **The stack.** `tests/integration/terraform/main.tf`, and pb-deploy's defaults, with as many workers. pb-deploy's has a little
  more: a parameter group, so that the queue does not evict, the rules of the default group, a lifecycle policy for images.
- **Wall.** From the start of the process to its end.
- **Without a call.** Of that, the gaps of a second and more in which no call was under way at the endpoint.
- **CPU.** User and system time of the process and all its descendants, as the kernel adds it up (`getrusage`); a process
  that its parent did not wait for is adopted and waited for by what measures (`xtask/src/bench/measure.py`).
- **Peak memory.** Every 10 ms the resident sets (`VmRSS`) of the process and all its descendants are added up; the peak is the
  largest sum, or the high-water mark (`VmHWM`) of the largest single process if that is more, so that of a tool that is one
  process no peak is missed. Pages that processes share count in each of them.
- **Calls.** From the journal of the endpoint, by account: all of them, those for state and lock too.
- **Deep.** The most calls of which each came in after the one before it was answered: no chain of calls that need each other is
  longer, and it is shorter where calls merely came one after the other. It is said only where a call takes its 40 ms.
- **Where the time goes** of a deploy and a destroy, beside its floor: start and end of the process itself; from its first call to
  its first change (reading, planning, lock, state); from there to the answer of its last change; and after that (waiting for
  what was changed last, state, lock). Calls for state and lock are no changes.
- **Floor.** `xtask/src/bench/lower_bound.rs` has what AWS demands, link by link; durations are those that the endpoint says it uses
  (`GET /_pb/health`; `emulator/pb_emulator/timings.py`). A call is one latency; a poll is none, since an answer can arrive at the very
  moment when the state is over. Calls for state and lock and all reads are left out, so nobody can reach 1.000.
";
