//! The section of the report that describes the method.

/// Text of the section, in Markdown.
pub const TEXT: &str = "\
- **Rounds.** Each tool runs all phases in a new account, which is empty; the tools take turns in going first. Both use
  the same process of the local endpoint (`emulator/`), after a warm-up plan. The endpoint runs on the same machine and
  uses part of its processor time. Preparations are not measured: configuration, `terraform init`, the workspace, and
  the prerequisites of a first deploy (bucket, lock table, zone, role).
- **Phases.** A plan of an empty account; the first deploy; a plan without changes; a deploy after a change of the log
  retention in the configuration, which takes effect at once; a destroy. Both tools plan with `-detailed-exitcode`, so a
  plan with an unexpected result is a failure. pb-deploy waits for the rollout and for healthy targets, Terraform does
  not.
- **The stack.** Terraform deploys `tests/integration/terraform/main.tf`, pb-deploy its defaults with the same number of
  workers. pb-deploy manages a little more: a parameter group (so that the queue does not evict keys), the rules of the
  default security group, and a lifecycle policy for images.
- **Wall.** From the start of the process to its end.
- **Without a call.** The part of the wall time in gaps of at least one second without any call in flight at the endpoint.
- **CPU.** User and system time of the process and all its descendants, as summed up by the kernel (`getrusage`). The
  measuring program (`xtask/src/bench/measure.py`) adopts orphans and waits for them.
- **Peak memory.** Every 10 ms the resident sets (`VmRSS`) of the process and all its descendants are added up. The peak
  is the largest sum, or the high-water mark (`VmHWM`) of the largest single process if that is more, so that no peak of
  a tool that runs as one process is missed. Shared pages count once per process.
- **Calls.** All calls of the account in the endpoint's request log, including those for state and lock.
- **Sequential calls.** The length of the longest sequence of calls in which each call arrived after the response to the
  call before it. This is an upper bound for chains of dependent calls, because calls can follow each other without
  depending on each other. Shown only where a call takes 40 ms.
- **Parts of the time** of a deploy and a destroy, next to the lower bound: start and end of the process; from the first
  call to the first change (reads, plan, lock, state); from the first change to the response to the last change; and the
  rest (waiting for the last changes, state, lock). Calls for state and lock do not count as changes.
- **Lower bound.** `xtask/src/bench/lower_bound.rs` lists what AWS requires, link by link, and the endpoint reports its
  timings (`GET /_pb/health`; `emulator/pb_emulator/timings.py`). A call costs its latency; a poll costs nothing,
  because its response can arrive at the moment at which the wait ends. Calls for state and lock and all reads are left
  out, so no tool can reach a ratio of 1.000.
";
