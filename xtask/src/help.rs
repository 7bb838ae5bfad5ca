//! Help texts.

/// What help is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Everything, in short.
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

/// The text on a topic.
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

Commands of the tool; each is built in release mode and run with all its arguments, and its exit code is kept:
  plan | deploy | apply | destroy | status | output | workspace | state | unlock | validate ...
      `cargo xtask deploy --help` asks the tool itself
  --local, anywhere among these arguments, uses the local AWS endpoint: it is installed and started if need be,
      gets what a deploy needs (bucket, lock table, hosted zone, role), and is left running; without a terminal,
      nobody is asked there

Chores:
  emulator start | stop | restart | status   the local AWS endpoint
  test [FILTER...]                           every test, from unit to wire
  bench [OPTION...]                          what plan, deploy, update and destroy take, beside Terraform
  torture [OPTION...]                        every fault at every call, with a report
  ci [CHECK...]                              every check, then every test
  help [COMMAND]                             this, or more on a chore

Exit codes of the chores: 0 done, 1 failed, 64 usage, 69 what is needed is not on this machine. Those of the tool's
commands are the tool's.";

const EMULATOR: &str = "\
Usage: cargo xtask emulator start   [--port N] [-- ARGUMENT...]
       cargo xtask emulator restart [--port N] [-- ARGUMENT...]
       cargo xtask emulator stop
       cargo xtask emulator status

The local AWS endpoint that `--local` uses. All it holds is in its memory: stop and restart forget it.

  start     runs it and prints its URL on stdout; if it is running already, prints the URL
  restart   stops it and starts it
  stop      stops it; nothing to do is no error
  status    prints its URL and exits 0 if it is running and answers, else exits 1

  --port N  listen on this port of 127.0.0.1; without it on any free one
  --        what follows goes to the emulator: emulator/README.md has its options

It is installed once into the target folder from emulator/requirements.txt, each package checked by its hash: with uv,
from PATH or installed for this, else with pip.
Python 3.10 or later is needed; PYTHON names the interpreter if it is to be another than python3.11 or python3.

The log is target/emulator/log.";

const TEST: &str = "\
Usage: cargo xtask test [--target TARGET]... [--long [--seed N]] [FILTER...]

Every test: those of the emulator, those of every crate, the lease protocol in a model checker, the stack over a
simulated AWS with every fault at every call, some faults on the wire, the crates' examples, and the wire tests,
which run the tool against an AWS endpoint. All of it runs even when something fails; a table at the end says what did.
With several targets the wire tests run on each, and another table shows what became of each scenario on each of them.

Without a target and a filter all tests run with the emulator, and then a sample of the wire tests on LocalStack
without Docker; on a machine that has no Python for LocalStack the table says that it was left out.

  --long                    the slow proofs too: every fault at every call on the wire, forty times as many random cases
                            of the simulation, all wire tests on LocalStack; random tests begin with a new seed
  --seed N                  with --long: begin with this seed, as an earlier long run has printed it
  --target emulator         fresh local endpoints, one for each core, stopped at the end
  --target localstack-host  LocalStack's open edition, installed and started without Docker; the wire tests alone
  --target localstack       LocalStack in a container; needs Docker and LOCALSTACK_AUTH_TOKEN; the wire tests alone
  --target URL              an endpoint that is running, such as http://127.0.0.1:4566
  --target aws              AWS itself; costs money; needs PB_LIVE_ACCOUNT and PB_LIVE_CONFIG; the live tests alone
  FILTER                    run only tests whose names hold one of these

The lease protocol and the simulated AWS are tried beside the other tests at the lowest priority; what they print comes
at the end. Without --long, random tests have fixed seeds: each run tries the same cases.

What an endpoint does is measured first. A test that needs what it lacks is skipped, counted and named; none passes for
that. docs/testing.md has more on every target.

The wire tests find the endpoint in PB_TEST_ENDPOINT and the tool in PB_TEST_BINARY; those of the crates find the tool
in PB_DEPLOY_BIN. Nothing of the person's own AWS account is passed on to any test, but to those on AWS.

The last line of stdout is `N passed, N failed`. Exit code 1 when anything failed, 69 when this machine lacks what a
target needs.";

const BENCH: &str = "\
Usage: cargo xtask bench [--rounds N] [--only ours|terraform] [--setting a|b|aws]... [--report FILE]
       cargo xtask bench --build [--report FILE]

What a plan from nothing, a deploy, a no-change plan, a one-field update and a destroy take: wall, CPU, peak memory of
all processes, API calls by operation. Beside it Terraform on the equivalent stack, where `terraform` is installed; the
tools take turns on the same local endpoint. Half an hour with Terraform, six minutes without. Use a machine that is
quiet.

  --rounds N        how often each tool goes through all phases (3, and 1 at the times of AWS); the report has medians
  --only TOOL       measure only this one: `ours` or `terraform`
  --setting a       an endpoint without delays: no latency, every state passes at once
  --setting b       40 ms a call and the times of AWS at 1:10, with the floor that they leave and the ratio to it
  --setting aws     the same at the times of AWS: forty minutes a round with Terraform; only when it is asked for
                    (--setting may be given several times; without it a and b)
  --report FILE     where the report goes; without it docs/benchmarks.md, or target/bench/report.md when something
                    was left out

  --build           instead of all that: CPU, memory and wall of a clean build with its first deploy, and of all tests,
                    of HEAD beside commit 58eea0b, each in a clone of its own; about an hour

The AWS provider of Terraform is looked for in the folder PB_TEST_TERRAFORM_PLUGINS, or /opt/tf-plugins; otherwise
Terraform downloads it. Linux alone has what is read of memory and processor time.

The last line of stdout is `N phases measured, N failed`. Exit code 1 when a phase failed, 69 when this machine lacks
what is needed.";

const TORTURE: &str = "\
Usage: cargo xtask torture [--jobs N] [--only WORD]... [--sample N [--seed S]] [--case CASE]... [--report FILE]

Every fault at every call that changes something, of a deploy from nothing, an update that replaces something, and a
destroy: refused, throttled, done but the answer lost or an error, the process killed before and after. Then the same
command again has to finish, and nothing may be there twice, or there and not in the state. It takes a
quarter of an hour.

  --jobs N       endpoints, and runs at a time (6)
  --only WORD    only cases whose text has all these words, such as `destroy`, `ec2:CreateVpc` or `killed-after`
  --sample N     only so many cases, chosen by the seed
  --case CASE    only this one, as the report names it: \"deploy ec2:CreateVpc 1 killed-after\"
  --report FILE  where the report goes (target/torture/report.md)

The last line of stdout is `N passed, N failed`. Exit code 1 when anything failed.";

const CI: &str = "\
Usage: cargo xtask ci [CHECK...]

Every check, then every test; with names, only these. All of it runs even when something fails; a table at the end says
what did.

  format         rustfmt finds nothing to change
  sizes          no source file over 400 lines, no Python function over 70 (clippy does it for Rust)
  promises       each promise of docs/reliability.md and SECURITY.md has tests that are there
  dependencies   crates depend on each other only as the table in xtask/src/ci/dependencies.rs allows
  features       the tool and its tests are built with the same features, so that no SDK crate is compiled twice
  deny           licences, banned crates and sources, by deny.toml (named as skipped if cargo-deny is not installed)
  clippy         no warnings, in any target of any crate
  docs           rustdoc finds nothing to warn of
  tests          what `cargo xtask test` does

The last line of stdout is `N passed, N failed`. Exit code 1 when anything failed.";

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
