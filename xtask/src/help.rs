//! Help texts.

/// A topic of `cargo xtask help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Overview of all commands.
    All,
    /// `cargo xtask emulator`.
    Emulator,
    /// `cargo xtask test`.
    Test,
    /// `cargo xtask bench`.
    Bench,
    /// `cargo xtask torture`.
    Torture,
    /// `cargo xtask ci`.
    Ci,
}

/// Returns the text of a topic.
pub fn text(topic: Topic) -> &'static str {
    match topic {
        Topic::All => ALL,
        Topic::Emulator => EMULATOR,
        Topic::Test => TEST,
        Topic::Bench => BENCH,
        Topic::Torture => TORTURE,
        Topic::Ci => CI,
    }
}

const ALL: &str = "\
Usage: cargo xtask COMMAND

Commands of pb-deploy, which is built in release mode and run with all arguments; its exit code is returned:
  plan | deploy | apply | destroy | status | output | workspace | state | unlock | validate ...
      for their help, run `cargo xtask deploy --help`
  --local (anywhere among the arguments)
      use the local AWS endpoint: install and start it if necessary, create the prerequisites of a deploy (bucket,
      lock table, hosted zone, role), and leave it running; without a terminal, no confirmation is needed

Commands for developers:
  emulator start | stop | restart | status   manage the local AWS endpoint
  test [FILTER...]                           run all tests, from unit tests to wire tests
  bench [OPTION...]                          measure plan, deploy, update and destroy, compared with Terraform
  torture [OPTION...]                        inject every fault at every call, and write a report
  ci [CHECK...]                              run all checks, then all tests
  help [COMMAND]                             show this help, or the help of a developer command

Exit codes of developer commands: 0 success, 1 failure, 64 usage, 69 this machine lacks a requirement. Commands of
pb-deploy return its exit code.";

const EMULATOR: &str = "\
Usage: cargo xtask emulator start   [--port N] [-- ARGUMENT...]
       cargo xtask emulator restart [--port N] [-- ARGUMENT...]
       cargo xtask emulator stop
       cargo xtask emulator status

Manages the local AWS endpoint that `--local` uses. It keeps all resources in memory: stop and restart discard them.

  start     start it, unless it is running, and print its URL on stdout
  restart   stop it, then start it
  stop      stop it, if it is running
  status    if it is running and answers, print its URL and exit with 0; else exit with 1

  --port N  listen on this port of 127.0.0.1 (default: any free port)
  --        pass all following arguments to the emulator; emulator/README.md lists its options

The first start installs it into the target folder from emulator/requirements.txt, and verifies the hash of each
package. The installation uses uv (from PATH, or installed for this purpose), or pip if uv fails. It needs Python 3.10
or later; set PYTHON to use an interpreter other than python3.11 or python3.

The log is target/emulator/log.";

const TEST: &str = "\
Usage: cargo xtask test [--target TARGET]... [--long [--seed N]] [FILTER...]

Runs all tests: those of the emulator and of every crate, the lease protocol in a model checker, the stack over a
simulated AWS with every fault at every call, some faults on the wire, the crates' examples, and the wire tests, which
run pb-deploy against an AWS endpoint. A failure does not stop the run; a final table shows the result of each step.
With several targets the wire tests run on each of them, and a second table shows the results by scenario and target.

With neither a target nor a filter, all tests run with the emulator, then a sample of the wire tests on LocalStack
without Docker. If this machine has no Python for LocalStack, the table shows the sample as skipped.

  --long                    also run the slow tests: every fault at every call on the wire, forty times as many random
                            cases of the simulation, and all wire tests on LocalStack; random tests use a new seed
  --seed N                  with --long: use this seed, as printed by an earlier long run
  --target emulator         new local endpoints, one per core, stopped at the end
  --target localstack-host  LocalStack's open edition, installed and started without Docker; only the wire tests
  --target localstack       LocalStack in a container; needs Docker and LOCALSTACK_AUTH_TOKEN; only the wire tests
  --target URL              a running endpoint, such as http://127.0.0.1:4566
  --target aws              AWS; costs money; needs PB_LIVE_ACCOUNT and PB_LIVE_CONFIG; only the live tests
  FILTER                    run only tests whose names contain one of these words

The lease protocol and the simulated AWS run in the background at the lowest priority; their output is shown at the end.
Without --long, random tests have fixed seeds, so that each run tries the same cases.

The capabilities of an endpoint are measured first. A test that needs a missing capability is counted as
skipped. docs/testing.md describes the targets.

The wire tests find the endpoint in PB_TEST_ENDPOINT and pb-deploy in PB_TEST_BINARY; the crates' tests find pb-deploy
in PB_DEPLOY_BIN. No test can use your AWS account, except with --target aws.

The last line of stdout is `N passed, N failed`. Exit code 1 if anything failed, 69 if this machine lacks a requirement
of a target.";

const BENCH: &str = "\
Usage: cargo xtask bench [--rounds N] [--only ours|terraform] [--setting a|b|aws]... [--report FILE]
       cargo xtask bench --build [--report FILE]

Measures a plan of an empty account, a deploy, a no-change plan, a one-field update and a destroy: wall time, CPU, peak
memory of all processes, and API calls by operation. If `terraform` is installed, it is measured with the equivalent
stack; the tools take turns on the same local endpoint. Takes half an hour with Terraform, six minutes without. Use an
idle machine.

  --rounds N        number of times that each tool runs all phases (default: 3, with setting aws 1); the report shows
                    medians
  --only TOOL       measure only this tool: `ours` (pb-deploy) or `terraform`
  --setting a       an endpoint without delays: no latency and immediate state transitions
  --setting b       40 ms per call and a tenth of AWS's times, compared with the lower bound that follows from them
  --setting aws     the same with AWS's full times; forty minutes per round with Terraform; never run by default
                    (may be repeated; default: a and b)
  --report FILE     path of the report (default: docs/benchmarks.md, or target/bench/report.md for a partial run)

  --build           measure building and testing instead: CPU, memory and wall time of a clean build with its first
                    deploy, and of all tests, for HEAD and commit 58eea0b, each in a separate clone; about an hour

Terraform's AWS provider is taken from the folder PB_TEST_TERRAFORM_PLUGINS, or from /opt/tf-plugins; else Terraform
downloads it. Memory and processor time can be measured only on Linux.

The last line of stdout is `N phases measured, N failed`. Exit code 1 if a phase failed, 69 if this machine lacks a
requirement.";

const TORTURE: &str = "\
Usage: cargo xtask torture [--jobs N] [--only WORD]... [--sample N [--seed S]] [--case CASE]... [--report FILE]

Injects every fault at every call that changes something, in a first deploy, an update with a replacement, and a
destroy. The faults: the call is refused, throttled, or executed with a lost response or an error, or the process is
killed before or after the call. Running the same command again must then succeed, without duplicates and without
resources that the state does not record. Takes a quarter of an hour.

  --jobs N       number of endpoints and parallel runs (default: 6)
  --only WORD    only cases that contain all these words, such as `destroy`, `ec2:CreateVpc` or `killed-after`
  --sample N     only this many cases, selected by the seed
  --case CASE    only this case, as named in the report: \"deploy ec2:CreateVpc 1 killed-after\"
  --report FILE  path of the report (default: target/torture/report.md)

The last line of stdout is `N passed, N failed`. Exit code 1 if anything failed.";

const CI: &str = "\
Usage: cargo xtask ci [CHECK...]

Runs all checks, then all tests; with arguments, only the named ones. A failure does not stop the run; a table at the
end shows the result of each check.

  format         rustfmt would change nothing
  sizes          no source file over 400 lines, no Python function over 70 lines (clippy checks Rust functions)
  language       no retired phrase (xtask/src/ci/phrases.txt), no doc comment that begins with a question word, and no
                 test name over 60 characters; a comment `lang-ok: REASON` exempts its line, which is allowed ten times
  cycles         no import cycle between source files (of the crates in xtask/src/ci/cycles.rs), except in tests
  permissions    each call to AWS is documented in the README of its crate, or in docs/permissions.md
  promises       each promise of docs/reliability.md and SECURITY.md has tests, and these exist
  dependencies   crates depend on each other only as the table in xtask/src/ci/dependencies.rs allows
  features       pb-deploy and its tests are built with the same features, so that no SDK crate is compiled twice
  deny           licences, banned crates and sources, as configured in deny.toml (skipped without cargo-deny)
  clippy         no warnings, in any target of any crate
  docs           no rustdoc warnings
  tests          the same as `cargo xtask test`

The last line of stdout is `N passed, N failed`. Exit code 1 if anything failed.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_texts_show_usage_and_fit_120_columns() {
        for topic in [Topic::All, Topic::Emulator, Topic::Test, Topic::Bench, Topic::Torture, Topic::Ci] {
            let text = text(topic);
            assert!(text.starts_with("Usage: cargo xtask"), "{topic:?}");
            assert!(text.lines().all(|line| line.len() <= 120), "{topic:?}");
        }
    }
}
