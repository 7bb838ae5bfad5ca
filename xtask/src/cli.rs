//! The command line.

use std::ffi::{OsStr, OsString};

use crate::bench::BenchOptions;
use crate::failure::Failure;
use crate::help::Topic;
use crate::test::target::Target;

/// Options that `pb-deploy` takes before its command.
const TOOL_OPTIONS: [&str; 9] =
    ["--config", "--profile", "--region", "--endpoint-url", "--json", "--no-color", "-v", "--verbose", LOCAL];
/// The one option of the tool's commands that is xtask's own.
const LOCAL: &str = "--local";

/// What is asked for.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// A help text.
    Help(Topic),
    /// A command of `pb-deploy`.
    Tool {
        /// Its arguments, without `--local`.
        arguments: Vec<OsString>,
        /// Use the local endpoint.
        local: bool,
    },
    /// The local endpoint.
    Emulator(EmulatorCommand),
    /// Every test.
    Test(TestOptions),
    /// What phases take, beside Terraform.
    Bench(BenchOptions),
    /// Every fault on the wire, with these arguments of its program.
    Torture(Vec<OsString>),
    /// The checks of these names; all of them, and every test, if there are none.
    Ci(Vec<String>),
}

/// What is asked of the local endpoint.
#[derive(Debug, PartialEq, Eq)]
pub enum EmulatorCommand {
    /// Run it, if it is not running.
    Start(EmulatorOptions),
    /// Stop it, if it is running, and start it.
    Restart(EmulatorOptions),
    /// Stop it, if it is running.
    Stop,
    /// Say whether it is running.
    Status,
}

/// How the local endpoint is to run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct EmulatorOptions {
    /// The port; `None` is any free one.
    pub port: Option<u16>,
    /// More arguments of the emulator itself.
    pub extra: Vec<String>,
}

/// How the tests are to run.
#[derive(Debug, PartialEq)]
pub struct TestOptions {
    /// What the wire tests run against, one after the other.
    pub targets: Vec<Target>,
    /// Tests whose names hold one of these; all if empty.
    pub filters: Vec<String>,
    /// Nobody has named targets: those after the first run a sample of the tests, if this machine has what they need.
    pub is_default: bool,
    /// The slow proofs too, with new seeds.
    pub long: bool,
    /// The seed of a long run; `None` draws one.
    pub seed: Option<u64>,
}

impl TestOptions {
    /// What runs when nothing else is asked for.
    pub fn defaults() -> Self {
        let targets = vec![Target::Emulator, Target::LocalStackHost];
        Self { targets, filters: Vec::new(), is_default: true, long: false, seed: None }
    }
}

/// Reads the command line.
///
/// # Errors
///
/// It is not understood.
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
            Err(Failure::usage(format!("unknown option `{flag}`\n  hint: `cargo xtask help` lists the commands")))
        }
        _ => tool(arguments),
    }
}

fn is_tool_option(flag: &str) -> bool {
    let name = flag.split_once('=').map_or(flag, |(name, _)| name);
    TOOL_OPTIONS.contains(&name)
}

/// A command of the tool: its own business, but for `--local`.
fn tool(arguments: &[OsString]) -> Result<Command, Failure> {
    let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    let (own, passed_on) = arguments.split_at(end);
    let local = own.iter().any(|argument| argument == LOCAL);
    for option in ["--endpoint-url", "--profile"] {
        if local && value_of(own, option).is_some() {
            let text =
                format!("{LOCAL} and {option} exclude each other: the local endpoint has its own address and keys");
            return Err(Failure::usage(text));
        }
    }
    let own = own.iter().filter(|argument| *argument != LOCAL);
    Ok(Command::Tool { arguments: own.chain(passed_on).cloned().collect(), local })
}

/// The value of an option, written as `--name value` or `--name=value`.
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
            let hint = format!("`cargo xtask {word} --help` asks pb-deploy");
            return Err(Failure::usage(format!("`{word}` is no command of xtask itself\n  hint: {hint}")));
        }
    };
    Ok(Command::Help(topic))
}

fn emulator(rest: &[OsString]) -> Result<EmulatorCommand, Failure> {
    let commands = "`start`, `stop`, `restart` and `status`";
    let Some((word, rest)) = rest.split_first() else {
        return Err(Failure::usage(format!("emulator needs a command: there are {commands}")));
    };
    match text(word)? {
        "start" => emulator_options(rest, "emulator start").map(EmulatorCommand::Start),
        "restart" => emulator_options(rest, "emulator restart").map(EmulatorCommand::Restart),
        "stop" => expect_end(rest, "emulator stop").map(|()| EmulatorCommand::Stop),
        "status" => expect_end(rest, "emulator status").map(|()| EmulatorCommand::Status),
        other => Err(Failure::usage(format!("emulator has no command `{other}`: there are {commands}"))),
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
        options.port = Some(parsed.ok_or_else(|| Failure::usage(format!("`{port}` is no port: 1 to 65535")))?);
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
            let parsed = seed.parse().map_err(|_| Failure::usage(format!("`{seed}` is no seed: a whole number")))?;
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
        return Err(Failure::usage("--seed needs --long: a usual run has fixed seeds"));
    }
    if options.targets.is_empty() && options.filters.is_empty() {
        return Ok(TestOptions { long: options.long, seed: options.seed, ..TestOptions::defaults() });
    }
    if options.targets.is_empty() {
        options.targets.push(Target::Emulator);
    }
    if let Some(twice) = options.targets.iter().enumerate().find(|(i, target)| options.targets[..*i].contains(target)) {
        return Err(Failure::usage(format!("the target `{}` is named twice", twice.1)));
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

/// The value, if `word` is the option.
///
/// # Errors
///
/// It is, and no value follows.
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

/// The refusal of a word that a command does not take.
pub fn unknown_argument(word: &str, command: &str) -> Failure {
    let topic = command.split(' ').next().unwrap_or(command);
    Failure::usage(format!("{command} does not take `{word}`\n  hint: `cargo xtask help {topic}` says what it takes"))
}

/// An argument as text.
///
/// # Errors
///
/// It is none.
pub fn text(argument: &OsStr) -> Result<&str, Failure> {
    argument.to_str().ok_or_else(|| Failure::usage(format!("an argument is not UTF-8: {}", argument.to_string_lossy())))
}

#[cfg(test)]
mod tests;
