//! Commands of containers: what their options mean to Celery and gunicorn, and notes about commands that AWS accepts, but
//! that do not do what is intended. (docs/celery.md: the measurements)

/// Idle timeout of the load balancer: it may send a request on a connection that has been idle for this long.
const BALANCER_IDLE_SECONDS: i64 = 60;

/// Default of gunicorn's `--graceful-timeout`. (gunicorn: Settings)
const GRACEFUL_TIMEOUT_SECONDS: i64 = 30;

/// Default of gunicorn's `--keep-alive`, which only workers with threads use. (gunicorn: Settings)
const KEEP_ALIVE_SECONDS: i64 = 2;

/// Number of tasks below which the time for the start of a worker process outweighs that for its tasks.
const TASKS_PER_CHILD_MIN: i64 = 100;

/// Separators of the commands in a shell script.
const SEPARATORS: [&str; 6] = [";", "&&", "||", "|", "&", "\n"];

/// Kind of the service that runs a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Web service, whose container runs without an init process.
    Web,
    /// Workers, whose containers run with an init process.
    Workers,
    /// Scheduler, whose container runs with an init process.
    Scheduler,
}

/// Note about a command or an environment variable, and the suggested change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    pub(crate) message: String,
    pub(crate) help: String,
}

fn advice(message: impl Into<String>, help: impl Into<String>) -> Advice {
    Advice { message: message.into(), help: help.into() }
}

/// Command of a container, as the programs that it runs.
pub(crate) struct Command {
    /// Words of each program, in the order in which they run.
    programs: Vec<Vec<String>>,
    /// Set if a POSIX shell starts the programs, and stays their parent.
    shell_stays: bool,
}

impl Command {
    /// Parses the command of a container. The script of `sh -c` is split into its commands; other shell syntax is not
    /// interpreted.
    pub(crate) fn new(words: &[String]) -> Self {
        let Some((shell, script)) = script(words) else {
            return Self { programs: vec![words.to_vec()], shell_stays: false };
        };
        let mut programs: Vec<Vec<String>> = vec![Vec::new()];
        for token in tokens(script) {
            match SEPARATORS.contains(&token.as_str()) {
                true => programs.push(Vec::new()),
                false => programs.iter_mut().last().into_iter().for_each(|program| program.push(token.clone())),
            }
        }
        programs.retain(|program| !program.is_empty());
        // bash replaces itself with the last command of a script even without `exec`; dash does not. A script with `exec`
        // or `trap` anywhere is taken to handle signals.
        let handles_signals = programs.iter().flatten().any(|word| word == "exec" || word == "trap");
        let shell_stays = shell != "bash" && !programs.is_empty() && !handles_signals;
        Self { programs, shell_stays }
    }

    /// Returns the queues that an option names: `-Q a`, `-Qa`, `-EQ a`, `--queues a` or `--queues=a`.
    pub(crate) fn queues(&self) -> Option<&str> {
        self.programs.iter().find_map(|program| option(program, "--queues", "DEB", Some('Q')))
    }

    /// Returns the level from which on Celery logs: `-l LEVEL`, `-lLEVEL`, `--loglevel LEVEL` or `--loglevel=LEVEL`.
    pub(crate) fn log_level(&self) -> Option<&str> {
        let celery = self.programs.iter().filter(|program| runs(program, "celery"));
        celery.map(|program| option(program, "--loglevel", "DEB", Some('l'))).find(Option::is_some).flatten()
    }

    /// Returns whether an option names the file of the schedule.
    pub(crate) fn names_schedule_file(&self) -> bool {
        self.programs.iter().any(|program| option(program, "--schedule", "", Some('s')).is_some())
    }

    /// Returns notes about the command of a service with this `stop_timeout`.
    pub(crate) fn notes(&self, role: Role, stop_timeout: i64) -> Vec<Advice> {
        let mut notes: Vec<Advice> = self.shell_stays.then(|| shell_note(role)).into_iter().collect();
        for program in &self.programs {
            match role {
                Role::Web if runs(program, "gunicorn") => notes.extend(gunicorn_notes(program, stop_timeout)),
                Role::Workers if runs(program, "celery") => notes.extend(worker_notes(program)),
                Role::Web | Role::Workers | Role::Scheduler => {}
            }
        }
        notes.extend(self.queues().and_then(blank_note));
        notes
    }
}

/// Returns a note about an environment variable that Celery reads.
pub(crate) fn environment_note(name: &str, value: &str) -> Option<Advice> {
    match name {
        crate::services::WORKER_QUEUES => blank_note(value),
        "CELERY_BROKER_READ_URL" | "CELERY_BROKER_WRITE_URL" => broker_note(value),
        _ => None,
    }
}

/// Returns a note about a level of Celery's log that hides the line for which a rollout waits.
pub(crate) fn level_note(level: &str) -> Option<Advice> {
    let hides = ["WARNING", "WARN", "ERROR", "CRITICAL", "FATAL"].iter().any(|known| level.eq_ignore_ascii_case(known));
    hides.then(|| {
        let message = format!("Celery logs this line at the level INFO, and the log level {level} hides it");
        advice(message, "set the log level INFO, or remove `ready_log`; otherwise, no rollout succeeds")
    })
}

/// Returns a note about a broker address with which Celery fails at the first connection.
fn broker_note(address: &str) -> Option<Advice> {
    if address.starts_with("valkey://") || address.starts_with("valkeys://") {
        let message = "Celery does not know `valkey://`, and fails at the first connection";
        return Some(advice(message, "write `redis://` or `rediss://`; Valkey speaks the same protocol"));
    }
    let options = address.split_once('?').map(|(_, options)| options)?;
    let refused = options.split('&').find(|option| !option.starts_with("ssl_"))?;
    let name = refused.split('=').next().unwrap_or_default();
    let message = format!("the broker's connection fails with the option `{name}` in its address (TypeError)");
    Some(advice(message, format!("set `{name}` in `broker_transport_options` of the application")))
}

fn blank_note(queues: &str) -> Option<Advice> {
    let name = queues.split(',').find(|name| name.trim() != *name)?;
    let message = format!("the blank becomes part of the queue's name: `{name}`");
    Some(advice(message, "separate the queues by commas alone"))
}

fn shell_note(role: Role) -> Advice {
    let message = match role {
        Role::Web => {
            "a shell runs the command without `exec` and ignores SIGTERM, so each stop takes `stop_timeout` and ends \
             with SIGKILL"
        }
        Role::Workers | Role::Scheduler => {
            "a shell runs the command without `exec`: on SIGTERM, the init process ends the shell at once (exit code \
             143), and the tasks are cut off instead of getting `stop_timeout`"
        }
    };
    advice(message, "write the program and its arguments as the words of `command`, or start it with `exec`")
}

fn gunicorn_notes(program: &[String], stop_timeout: i64) -> Vec<Advice> {
    let number = |long, short| option(program, long, "", short).and_then(|value| value.parse::<i64>().ok());
    let class = option(program, "--worker-class", "", Some('k')).unwrap_or_default();
    let threads = number("--threads", None).unwrap_or(1) > 1 || class == "gthread";
    let keep_alive = number("--keep-alive", None).unwrap_or(KEEP_ALIVE_SECONDS);
    let graceful = number("--graceful-timeout", None).unwrap_or(GRACEFUL_TIMEOUT_SECONDS);
    let mut notes = Vec::new();
    if threads && keep_alive <= BALANCER_IDLE_SECONDS {
        let message = format!(
            "gunicorn closes idle connections after {keep_alive} s, but the load balancer uses them again for up to \
             {BALANCER_IDLE_SECONDS} s: some requests get no answer"
        );
        notes.push(advice(message, "add `--keep-alive 75`"));
    }
    if graceful >= stop_timeout {
        let message = format!(
            "gunicorn gives the requests in flight {graceful} s to end (`--graceful-timeout`), but is killed after \
             {stop_timeout} s (`stop_timeout`)"
        );
        notes.push(advice(message, "raise `stop_timeout`, or lower `--graceful-timeout`"));
    }
    let has_limit = number("--max-requests", None).is_some_and(|most| most > 0);
    if class.to_ascii_lowercase().contains("uvicorn") && has_limit {
        let message = "the uvicorn worker cuts off requests when it restarts after `--max-requests`";
        notes.push(advice(message, "remove `--max-requests`, or use a sync or gthread worker"));
    }
    notes
}

fn worker_notes(program: &[String]) -> Option<Advice> {
    let most = option(program, "--max-tasks-per-child", "", None)?.parse::<i64>().ok()?;
    (most < TASKS_PER_CHILD_MIN).then(|| {
        let message = format!("a worker process is replaced after {most} tasks, which takes 0.6 to 5 s each time");
        advice(message, format!("write `--max-tasks-per-child {TASKS_PER_CHILD_MIN}` or more"))
    })
}

fn runs(program: &[String], name: &str) -> bool {
    program.iter().any(|word| file_name(word) == name)
}

fn file_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// Returns the value of an option in any spelling. `flags` are the short options without a value that may precede the
/// short name in one word.
fn option<'w>(words: &'w [String], long: &str, flags: &str, short: Option<char>) -> Option<&'w str> {
    let next = |index: usize| Some(words.get(index + 1).map_or("", String::as_str));
    words.iter().enumerate().find_map(|(index, word)| {
        if let Some(rest) = word.strip_prefix(long) {
            return if rest.is_empty() { next(index) } else { rest.strip_prefix('=') };
        }
        let letters = word.strip_prefix('-')?.trim_start_matches(|letter| flags.contains(letter));
        let value = letters.strip_prefix(short?)?;
        if value.is_empty() { next(index) } else { Some(value) }
    })
}

/// Returns the name of the shell and the script of `sh -c SCRIPT`.
fn script(words: &[String]) -> Option<(&str, &str)> {
    let shell = file_name(words.first()?);
    if !["sh", "dash", "ash", "bash"].contains(&shell) {
        return None;
    }
    let is_script_flag = |word: &String| {
        word.strip_prefix('-').is_some_and(|letters| letters.ends_with('c') && !letters.starts_with('-'))
    };
    let flag = words.iter().position(is_script_flag)?;
    Some((shell, words.get(flag + 1)?))
}

/// Returns whether the `&` after `word` and before `next` is part of a redirection.
fn redirects(word: Option<&str>, next: Option<&char>) -> bool {
    next == Some(&'>') || word.is_some_and(|word| word.ends_with(['>', '<']))
}

/// Splits a script into words and separators. Quotes are removed; a separator inside quotes is part of a word.
fn tokens(script: &str) -> Vec<String> {
    let (mut tokens, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = script.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (letter, Some(open)) if letter == open => quote = None,
            (letter, Some(_)) => word.get_or_insert_default().push(letter),
            ('"' | '\'', None) => {
                word.get_or_insert_default();
                quote = Some(letter);
            }
            ('\\', None) => {
                // A line that continues after `\` is one line.
                if let Some(escaped) = letters.next().filter(|escaped| *escaped != '\n') {
                    word.get_or_insert_default().push(escaped);
                }
            }
            // `2>&1` and `&>file` redirect, and separate nothing.
            ('&', None) if redirects(word.as_deref(), letters.peek()) => word.get_or_insert_default().push(letter),
            (';' | '&' | '|' | '\n', None) => {
                tokens.extend(word.take());
                let twice = "&|".contains(letter) && letters.next_if_eq(&letter).is_some();
                tokens.push(if twice { format!("{letter}{letter}") } else { letter.to_string() });
            }
            (letter, None) if letter.is_whitespace() => tokens.extend(word.take()),
            (letter, None) => word.get_or_insert_default().push(letter),
        }
    }
    tokens.extend(word);
    tokens
}

#[cfg(test)]
mod tests;
