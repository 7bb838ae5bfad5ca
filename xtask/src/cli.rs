//! Command line of xtask.

use std::ffi::{OsStr, OsString};

use crate::bench::BenchOptions;
use crate::failure::Failure;
use crate::help::Topic;
use crate::test::target::Target;

/// Options of `pb-deploy` that may precede its command.
const TOOL_OPTIONS: [&str; 9] =
    ["--config", "--profile", "--region", "--endpoint-url", "--json", "--no-color", "-v", "--verbose", LOCAL];
/// The only option of pb-deploy's commands that xtask handles itself.
const LOCAL: &str = "--local";

/// A parsed command line.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Print a help text.
    Help(Topic),
    /// Run a command of `pb-deploy`.
    Tool {
        /// Arguments of `pb-deploy`, without `--local`.
        arguments: Vec<OsString>,
        /// `true` to use the local endpoint.
        local: bool,
    },
    /// Manage the local endpoint.
    Emulator(EmulatorCommand),
    /// Run the tests.
    Test(TestOptions),
    /// Run the benchmark.
    Bench(BenchOptions),
    /// Inject every fault on the wire; the arguments are passed to the program that does it.
    Torture(Vec<OsString>),
    /// Run the named checks, or all checks and tests if none is named.
    Ci(Vec<String>),
}

/// A command that manages the local endpoint.
#[derive(Debug, PartialEq, Eq)]
pub enum EmulatorCommand {
    /// Start the endpoint, unless it is running.
    Start(EmulatorOptions),
    /// Stop the endpoint if it is running, then start it.
    Restart(EmulatorOptions),
    /// Stop the endpoint, if it is running.
    Stop,
    /// Report whether the endpoint is running.
    Status,
}

/// Options of the local endpoint.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct EmulatorOptions {
    /// The port; `None` for any free one.
    pub port: Option<u16>,
    /// Additional arguments for the emulator.
    pub extra: Vec<String>,
}

/// Options of the tests.
#[derive(Debug, PartialEq)]
pub struct TestOptions {
    /// Targets of the wire tests, which run one after another.
    pub targets: Vec<Target>,
    /// Substrings of test names; empty for all tests.
    pub filters: Vec<String>,
    /// `true` if no `--target` is given: all targets except the first run a sample of the tests, and are skipped if
    /// this machine lacks their requirements.
    pub is_default: bool,
    /// `true` to run the slow tests too, with new seeds.
    pub long: bool,
    /// Seed of a long run; `None` for a random one.
    pub seed: Option<u64>,
}

impl TestOptions {
    /// Returns the options for a run without arguments.
    pub fn defaults() -> Self {
        let targets = vec![Target::Emulator, Target::LocalStackHost];
        Self { targets, filters: Vec::new(), is_default: true, long: false, seed: None }
    }
}

/// Parses the command line.
///
/// # Errors
///
/// Fails if the command line is invalid.
pub fn parse(arguments: &[OsString]) -> Result<Command, Failure> {
    let Some((first, rest)) = arguments.split_first() else {
        return Err(Failure::usage(format!("no command\n\n{}", crate::help::text(Topic::All))));
    };
    let first = text(first)?;
    let wants_help = rest.iter().any(|argument| argument == "--help" || argument == "-h");
    match first {
        "help" => help(rest),
        "-h" | "--help" => Ok(Command::Help(Topic::All)),
        "emulator" if wants_help => Ok(Command::Help(Topic::Emulator)),
        "emulator" => emulator(rest).map(Command::Emulator),
        "test" if wants_help => Ok(Command::Help(Topic::Test)),
        "test" => test(rest).map(Command::Test),
        "bench" if wants_help => Ok(Command::Help(Topic::Bench)),
        "bench" => BenchOptions::parse(rest).map(Command::Bench),
        "torture" if wants_help => Ok(Command::Help(Topic::Torture)),
        "torture" => Ok(Command::Torture(rest.to_vec())),
        "ci" if wants_help => Ok(Command::Help(Topic::Ci)),
        "ci" => ci(rest).map(Command::Ci),
        flag if flag.starts_with('-') && !is_tool_option(flag) => {
            Err(Failure::usage(format!("unknown option `{flag}`\n  hint: run `cargo xtask help` for the commands")))
        }
        _ => tool(arguments),
    }
}

fn is_tool_option(flag: &str) -> bool {
    let name = flag.split_once('=').map_or(flag, |(name, _)| name);
    TOOL_OPTIONS.contains(&name)
}

/// Parses a command of pb-deploy. All arguments except `--local` are passed on.
fn tool(arguments: &[OsString]) -> Result<Command, Failure> {
    let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    let (own, passed_on) = arguments.split_at(end);
    let local = own.iter().any(|argument| argument == LOCAL);
    for option in ["--endpoint-url", "--profile"] {
        if local && value_of(own, option).is_some() {
            let text =
                format!("{LOCAL} cannot be combined with {option}: the local endpoint has its own URL and credentials");
            return Err(Failure::usage(text));
        }
    }
    let own = own.iter().filter(|argument| *argument != LOCAL);
    Ok(Command::Tool { arguments: own.chain(passed_on).cloned().collect(), local })
}

/// Returns the value of an option, written as `--name value` or `--name=value`.
pub fn value_of<'a>(arguments: &'a [OsString], option: &str) -> Option<&'a OsStr> {
    arguments.iter().enumerate().find_map(|(index, argument)| {
        if argument == option {
            return arguments.get(index + 1).map(OsString::as_os_str);
        }
        let value = argument.to_str()?.strip_prefix(option)?.strip_prefix('=')?;
        Some(OsStr::new(value))
    })
}

fn help(rest: &[OsString]) -> Result<Command, Failure> {
    let Some(word) = rest.first() else {
        return Ok(Command::Help(Topic::All));
    };
    expect_end(&rest[1..], "help")?;
    let topic = match text(word)? {
        "help" => Topic::All,
        "emulator" => Topic::Emulator,
        "test" => Topic::Test,
        "bench" => Topic::Bench,
        "torture" => Topic::Torture,
        "ci" => Topic::Ci,
        word => {
            let hint = format!("for the help of pb-deploy, run `cargo xtask {word} --help`");
            return Err(Failure::usage(format!("xtask has no command `{word}`\n  hint: {hint}")));
        }
    };
    Ok(Command::Help(topic))
}

fn emulator(rest: &[OsString]) -> Result<EmulatorCommand, Failure> {
    let commands = "`start`, `stop`, `restart` or `status`";
    let Some((word, rest)) = rest.split_first() else {
        return Err(Failure::usage(format!("emulator needs a command: {commands}")));
    };
    match text(word)? {
        "start" => emulator_options(rest, "emulator start").map(EmulatorCommand::Start),
        "restart" => emulator_options(rest, "emulator restart").map(EmulatorCommand::Restart),
        "stop" => expect_end(rest, "emulator stop").map(|()| EmulatorCommand::Stop),
        "status" => expect_end(rest, "emulator status").map(|()| EmulatorCommand::Status),
        other => Err(Failure::usage(format!("unknown emulator command `{other}`; expected {commands}"))),
    }
}

fn emulator_options(rest: &[OsString], command: &str) -> Result<EmulatorOptions, Failure> {
    let mut options = EmulatorOptions::default();
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        let word = text(word)?;
        if word == "--" {
            options.extra = words.map(|word| text(word).map(str::to_owned)).collect::<Result<_, _>>()?;
            break;
        }
        let port = option("--port", word, &mut words)?.ok_or_else(|| unknown_argument(word, command))?;
        let parsed = port.parse().ok().filter(|port| *port > 0);
        options.port =
            Some(parsed.ok_or_else(|| Failure::usage(format!("invalid port `{port}`; expected 1 to 65535")))?);
    }
    Ok(options)
}

fn test(rest: &[OsString]) -> Result<TestOptions, Failure> {
    let mut options =
        TestOptions { targets: Vec::new(), filters: Vec::new(), is_default: false, long: false, seed: None };
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        let word = text(word)?;
        if let Some(target) = option("--target", word, &mut words)? {
            options.targets.push(target.parse()?);
        } else if let Some(seed) = option("--seed", word, &mut words)? {
            let parsed =
                seed.parse().map_err(|_| Failure::usage(format!("invalid seed `{seed}`; expected a whole number")))?;
            options.seed = Some(parsed);
        } else if word == "--long" {
            options.long = true;
        } else if word.starts_with('-') {
            return Err(unknown_argument(word, "test"));
        } else {
            options.filters.push(word.to_owned());
        }
    }
    if options.seed.is_some() && !options.long {
        return Err(Failure::usage("--seed requires --long: other runs have fixed seeds"));
    }
    if options.targets.is_empty() && options.filters.is_empty() {
        return Ok(TestOptions { long: options.long, seed: options.seed, ..TestOptions::defaults() });
    }
    if options.targets.is_empty() {
        options.targets.push(Target::Emulator);
    }
    if let Some(twice) = options.targets.iter().enumerate().find(|(i, target)| options.targets[..*i].contains(target)) {
        return Err(Failure::usage(format!("duplicate target `{}`", twice.1)));
    }
    Ok(options)
}

fn ci(rest: &[OsString]) -> Result<Vec<String>, Failure> {
    let names = rest.iter().map(|word| {
        let word = text(word)?;
        if word.starts_with('-') {
            return Err(unknown_argument(word, "ci"));
        }
        crate::ci::check_name(word).map(|()| word.to_owned())
    });
    names.collect()
}

/// Returns the value of the option `name` if `word` is that option.
///
/// # Errors
///
/// Fails if no value follows the option.
pub fn option<'a>(
    name: &str,
    word: &'a str,
    words: &mut impl Iterator<Item = &'a OsString>,
) -> Result<Option<&'a str>, Failure> {
    if let Some(value) = word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
        return Ok(Some(value));
    }
    if word != name {
        return Ok(None);
    }
    let value = words.next().ok_or_else(|| Failure::usage(format!("{name} needs a value")))?;
    text(value).map(Some)
}

fn expect_end(rest: &[OsString], command: &str) -> Result<(), Failure> {
    rest.first().map_or(Ok(()), |argument| Err(unknown_argument(&argument.to_string_lossy(), command)))
}

/// Returns the error for an argument that a command does not accept.
pub fn unknown_argument(word: &str, command: &str) -> Failure {
    let topic = command.split(' ').next().unwrap_or(command);
    Failure::usage(format!(
        "{command} does not accept `{word}`\n  hint: run `cargo xtask help {topic}` for its arguments"
    ))
}

/// Returns an argument as text.
///
/// # Errors
///
/// Fails if the argument is not UTF-8.
pub fn text(argument: &OsStr) -> Result<&str, Failure> {
    argument.to_str().ok_or_else(|| Failure::usage(format!("an argument is not UTF-8: {}", argument.to_string_lossy())))
}

#[cfg(test)]
mod tests;
