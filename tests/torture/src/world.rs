//! What is really there: asked for through boto3, which shares nothing with the tool.

use crate::emulator::{python, root};
use crate::{Problem, Site};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};

/// One thing that carries an ownership address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owned {
    /// Its address.
    pub address: String,
    /// Its id or name.
    pub id: String,
}

/// What is in an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// All that carries an ownership address, sorted.
    pub owned: Vec<Owned>,
    /// The ids and names of all that is there, by kind.
    pub all: BTreeMap<String, Vec<String>>,
}

/// The program that asks. It ends with this value.
#[derive(Debug)]
pub struct World(Mutex<Program>);

#[derive(Debug)]
struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl World {
    /// Starts the program.
    ///
    /// # Errors
    /// When the emulator's Python is not installed.
    pub fn start() -> Result<Self, Problem> {
        let mut command = python()?;
        command.arg(root().join("tests/torture/world.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("failed to run world.py: {error}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("world.py has no input or output".to_owned());
        };
        Ok(Self(Mutex::new(Program { child, input, output: BufReader::new(output) })))
    }

    /// What is in a site's account.
    ///
    /// # Errors
    /// When the program fails.
    pub fn look(&self, site: &Site) -> Result<Inventory, Problem> {
        let answer = self.ask(site, "look")?;
        let words = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let owned =
            list(&answer["owned"]).iter().map(|pair| Owned { address: words(&pair[0]), id: words(&pair[1]) }).collect();
        let kinds = answer["all"].as_object().ok_or("world.py gives no inventory")?;
        let all = kinds.iter().map(|(kind, ids)| (kind.clone(), list(ids).iter().map(words).collect())).collect();
        Ok(Inventory { owned, all })
    }

    /// All versions of the snapshot, the oldest first: entity tag, and the document that was stored.
    ///
    /// # Errors
    /// When the program fails.
    pub fn versions(&self, site: &Site) -> Result<Vec<(String, Value)>, Problem> {
        let answer = self.ask(site, "versions")?;
        let versions = answer.as_array().ok_or("world.py gives no versions")?;
        Ok(versions
            .iter()
            .map(|one| (one["etag"].as_str().unwrap_or_default().to_owned(), one["document"].clone()))
            .collect())
    }

    fn ask(&self, site: &Site, what: &str) -> Result<Value, Problem> {
        let mut program = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let question = json!({ "url": site.endpoint, "account": site.account, "bucket": site.bucket, "what": what });
        let failed = |error: std::io::Error| format!("failed to ask world.py: {error}");
        writeln!(program.input, "{question}").and_then(|()| program.input.flush()).map_err(failed)?;
        let mut line = String::new();
        program.output.read_line(&mut line).map_err(failed)?;
        let answer: Value =
            serde_json::from_str(&line).map_err(|error| format!("world.py answers {line:?}: {error}"))?;
        match answer["error"].as_str() {
            Some(error) => Err(format!("world.py: {error}")),
            None => Ok(answer["answer"].clone()),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let program = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = program.child.kill().and_then(|()| program.child.wait());
    }
}
