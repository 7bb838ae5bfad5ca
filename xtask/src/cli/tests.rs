use super::*;

fn parsed(line: &str) -> Result<Command, Failure> {
    parse(&words(line))
}

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn refused(line: &str) -> String {
    let failure = parsed(line).unwrap_err();
    assert_eq!(format!("{:?}", failure.exit_code()), format!("{:?}", std::process::ExitCode::from(64)), "{line}");
    failure.to_string()
}

#[test]
fn unknown_command_is_passed_to_the_tool() {
    for line in
        ["deploy staging --yes", "workspace list", "whatever -x --y=z", "--json plan staging", "--config=a plan w"]
    {
        assert_eq!(parsed(line).unwrap(), Command::Tool { arguments: words(line), local: false }, "{line}");
    }
}

#[test]
fn local_flag_is_accepted_anywhere_and_removed() {
    for line in ["deploy staging --yes --local", "--local deploy staging --yes", "deploy --local staging --yes"] {
        let expected = Command::Tool { arguments: words("deploy staging --yes"), local: true };
        assert_eq!(parsed(line).unwrap(), expected, "{line}");
    }
}

#[test]
fn arguments_after_two_hyphens_are_passed_on() {
    let expected = Command::Tool { arguments: words("show -- --local"), local: false };
    assert_eq!(parsed("show -- --local").unwrap(), expected);
}

#[test]
fn local_flag_excludes_endpoint_and_profile() {
    assert!(refused("deploy w --local --endpoint-url http://x").contains("--endpoint-url"));
    assert!(refused("deploy w --local --profile=x").contains("--profile"));
}

#[test]
fn emulator_commands_are_parsed() {
    let options = |port, extra: &[&str]| EmulatorOptions { port, extra: extra.iter().map(|&e| e.into()).collect() };
    let start = |o| Command::Emulator(EmulatorCommand::Start(o));
    assert_eq!(parsed("emulator start").unwrap(), start(options(None, &[])));
    assert_eq!(parsed("emulator start --port 4566").unwrap(), start(options(Some(4566), &[])));
    assert_eq!(parsed("emulator start --port=1 -- --pace aws").unwrap(), start(options(Some(1), &["--pace", "aws"])));
    assert_eq!(parsed("emulator stop").unwrap(), Command::Emulator(EmulatorCommand::Stop));
    assert_eq!(parsed("emulator status").unwrap(), Command::Emulator(EmulatorCommand::Status));
    let restart = Command::Emulator(EmulatorCommand::Restart(options(Some(2), &[])));
    assert_eq!(parsed("emulator restart --port 2").unwrap(), restart);
}

#[test]
fn test_options_are_parsed() {
    let named = |targets, filters: &[&str]| TestOptions {
        targets,
        filters: filters.iter().map(|filter| (*filter).to_owned()).collect(),
        is_default: false,
        long: false,
        seed: None,
    };
    assert_eq!(parsed("test").unwrap(), Command::Test(TestOptions::defaults()));
    let expected = named(vec![Target::Emulator], &["net", "lock"]);
    assert_eq!(parsed("test net lock").unwrap(), Command::Test(expected));
    let url = "http://127.0.0.1:4566";
    let expected = named(vec![Target::Url(url.into())], &[]);
    assert_eq!(parsed(&format!("test --target {url}")).unwrap(), Command::Test(expected));
    assert_eq!(parsed("test --target emulator").unwrap(), Command::Test(named(vec![Target::Emulator], &[])));
    let expected = named(vec![Target::Emulator, Target::LocalStackHost], &["net"]);
    assert_eq!(parsed("test --target emulator net --target=localstack-host").unwrap(), Command::Test(expected));
}

#[test]
fn long_test_options_are_parsed() {
    let long = |seed| TestOptions { long: true, seed, ..TestOptions::defaults() };
    assert_eq!(parsed("test --long").unwrap(), Command::Test(long(None)));
    assert_eq!(parsed("test --seed=7 --long").unwrap(), Command::Test(long(Some(7))));
    let Command::Test(options) = parsed("test --long random").unwrap() else { panic!("no test") };
    assert_eq!((options.long, options.targets, options.filters), (true, vec![Target::Emulator], vec!["random".into()]));
    assert!(refused("test --seed 7").contains("--long"));
    assert!(refused("test --long --seed x").contains("`x`"));
}

#[test]
fn check_names_are_parsed() {
    assert_eq!(parsed("ci").unwrap(), Command::Ci(Vec::new()));
    assert_eq!(parsed("ci sizes deny").unwrap(), Command::Ci(vec!["sizes".into(), "deny".into()]));
}

#[test]
fn invalid_command_line_exits_64() {
    assert!(refused("ci size").contains("unknown check `size`; expected one of format, sizes,"));
    assert!(refused("").contains("no command"));
    assert!(refused("--bogus").contains("`--bogus`"));
    assert!(refused("ci --fast").contains("ci does not accept `--fast`"));
    assert!(refused("test --fast").contains("test does not accept `--fast`"));
    assert!(refused("test --target").contains("--target needs a value"));
    assert!(refused("test --target aws --target aws").contains("duplicate target `aws`"));
    assert!(refused("emulator").contains("needs a command"));
    assert!(refused("emulator begin").contains("unknown emulator command `begin`"));
    assert!(refused("emulator stop now").contains("does not accept `now`"));
    assert!(refused("emulator start --port 70000").contains("70000"));
    assert!(refused("emulator start --port 0").contains("invalid port `0`"));
    assert!(refused("emulator start --pace aws").contains("does not accept `--pace`"));
    assert!(refused("help deploy").contains("cargo xtask deploy --help"));
}

#[test]
fn unknown_target_is_refused_with_the_list() {
    let text = refused("test --target moon");
    assert!(text.contains("`moon`") && text.contains("emulator") && text.contains("URL"), "{text}");
}

#[test]
fn every_command_has_help() {
    assert_eq!(parsed("help").unwrap(), Command::Help(Topic::All));
    assert_eq!(parsed("--help").unwrap(), Command::Help(Topic::All));
    for (word, topic) in [("emulator", Topic::Emulator), ("test", Topic::Test), ("ci", Topic::Ci)] {
        assert_eq!(parsed(&format!("help {word}")).unwrap(), Command::Help(topic));
        assert_eq!(parsed(&format!("{word} --help")).unwrap(), Command::Help(topic));
    }
    // pb-deploy itself prints the help for its commands.
    let expected = Command::Tool { arguments: words("deploy --help"), local: false };
    assert_eq!(parsed("deploy --help").unwrap(), expected);
}

#[test]
fn option_values_are_found() {
    let line = words("plan w --config a.toml --region=r");
    assert_eq!(value_of(&line, "--config"), Some(OsStr::new("a.toml")));
    assert_eq!(value_of(&line, "--region"), Some(OsStr::new("r")));
    assert_eq!(value_of(&line, "--con"), None);
    assert_eq!(value_of(&words("plan --config"), "--config"), None);
}

#[test]
fn bench_options_are_parsed() {
    let expected = BenchOptions::parse(&words("--rounds 1 --only ours --setting a")).unwrap();
    assert_eq!(parsed("bench --rounds 1 --only ours --setting a").unwrap(), Command::Bench(expected));
    assert_eq!(parsed("bench --help").unwrap(), Command::Help(Topic::Bench));
    assert_eq!(parsed("help bench").unwrap(), Command::Help(Topic::Bench));
    assert!(refused("bench --fast").contains("bench does not accept `--fast`"));
    assert!(refused("bench --only chef").contains("`chef`"));
    assert!(refused("bench --rounds none").contains("`none`"));
}

#[test]
fn torture_arguments_are_passed_on() {
    let arguments = words("--jobs 4 --only destroy");
    assert_eq!(parsed("torture --jobs 4 --only destroy").unwrap(), Command::Torture(arguments));
    assert_eq!(parsed("torture --help").unwrap(), Command::Help(Topic::Torture));
    assert_eq!(parsed("help torture").unwrap(), Command::Help(Topic::Torture));
}
