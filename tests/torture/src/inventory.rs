//! Actual contents of an account, read through boto3, which shares no code with the tool.

use crate::emulator::{python, repository_root};
use crate::{Problem, TestWorkspace};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};

/// A resource with an ownership address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owned {
    /// Address in the ownership tags.
    pub address: String,
    /// Id or name.
    pub id: String,
}

/// Contents of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// Resources with an ownership address, sorted.
    pub owned: Vec<Owned>,
    /// Ids and names of all resources, by resource kind.
    pub all: BTreeMap<String, Vec<String>>,
}

/// Client of `inventory_server.py`, the program that reads inventories. The program ends when this value is dropped.
#[derive(Debug)]
pub struct InventoryClient(Mutex<Program>);

#[derive(Debug)]
struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl InventoryClient {
    /// Starts `inventory_server.py`.
    ///
    /// # Errors
    /// Fails if the emulator's Python is not installed.
    pub fn start() -> Result<Self, Problem> {
        let mut command = python()?;
        command
            .arg(repository_root().join("tests/torture/inventory_server.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("failed to run inventory_server.py: {error}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("inventory_server.py has no input or output".to_owned());
        };
        Ok(Self(Mutex::new(Program { child, input, output: BufReader::new(output) })))
    }

    /// Returns the contents of the account of `workspace`.
    ///
    /// # Errors
    /// Fails if the program does not respond with a result.
    pub fn inventory(&self, workspace: &TestWorkspace) -> Result<Inventory, Problem> {
        let answer = self.ask(workspace, "inventory")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let owned =
            list(&answer["owned"]).iter().map(|pair| Owned { address: text(&pair[0]), id: text(&pair[1]) }).collect();
        let kinds = answer["all"].as_object().ok_or("inventory_server.py returned no inventory")?;
        let all = kinds.iter().map(|(kind, ids)| (kind.clone(), list(ids).iter().map(text).collect())).collect();
        Ok(Inventory { owned, all })
    }

    /// Returns all versions of the snapshot, the oldest first, each with its entity tag and stored document.
    ///
    /// # Errors
    /// Fails if the program does not respond with a result.
    pub fn versions(&self, workspace: &TestWorkspace) -> Result<Vec<(String, Value)>, Problem> {
        let answer = self.ask(workspace, "versions")?;
        let versions = answer.as_array().ok_or("inventory_server.py returned no versions")?;
        Ok(versions
            .iter()
            .map(|one| (one["etag"].as_str().unwrap_or_default().to_owned(), one["document"].clone()))
            .collect())
    }

    fn ask(&self, workspace: &TestWorkspace, query: &str) -> Result<Value, Problem> {
        let mut program = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let request = json!({
            "url": workspace.endpoint, "account": workspace.account, "bucket": workspace.bucket, "query": query,
        });
        let failed = |error: std::io::Error| format!("failed to query inventory_server.py: {error}");
        writeln!(program.input, "{request}").and_then(|()| program.input.flush()).map_err(failed)?;
        let mut line = String::new();
        program.output.read_line(&mut line).map_err(failed)?;
        let answer: Value = serde_json::from_str(&line)
            .map_err(|error| format!("inventory_server.py responded with {line:?}: {error}"))?;
        match answer["error"].as_str() {
            Some(error) => Err(format!("inventory_server.py: {error}")),
            None => Ok(answer["answer"].clone()),
        }
    }
}

impl Drop for InventoryClient {
    fn drop(&mut self) {
        let program = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = program.child.kill().and_then(|()| program.child.wait());
    }
}
