//! One process of the tool, with the real clients, the real graph and the real state, against the simulated AWS
//! account. It can die at any call, like a process that is killed.

use crate::account::{Account, AccountAroundCall, REGION, Refusal, SharedAccount};
use crate::fault::{self, Fault, ReceivedCall};
use crate::wire::{self, Call};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use pb_config::Workspace;
use pb_engine::{
    Cancel, Class, Events, Failure, Goal, Graph, Outcome, Ownership, Plan, PlanScope, Run, Snapshot, apply_plan,
    compute_plan, observe, preflight, with_checks,
};
use pb_orchestrator::images::Images;
use pb_orchestrator::prerequisites::Prerequisites;
use pb_orchestrator::stack;
use pb_state::{AcquireOptions, LeaseTable, Session, StateLocation, Store, Timing};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

pub fn owner() -> Ownership {
    Ownership { stack: "pb-deploy".to_owned(), workspace: "staging".to_owned() }
}

fn state_location() -> StateLocation {
    StateLocation {
        bucket: "states".to_owned(),
        key: "pb-deploy/staging/state.json".to_owned(),
        table: "locks".to_owned(),
        kms_key: None,
        owner: owner(),
    }
}

/// Returns the prerequisites that a deploy looks up. A configuration without a version of the queue has the newest one.
fn prerequisites(workspace: &Workspace) -> Prerequisites {
    Prerequisites {
        account: crate::account::ACCOUNT.to_owned(),
        execution_role_arn: format!("arn:aws:iam::{}:role/ecsTaskExecutionRole", crate::account::ACCOUNT),
        task_role_arn: None,
        zone: pb_edge::Zone { id: "Z0SIM".to_owned(), name: "example.org".to_owned() },
        other_zones: [].into(),
        zones: ["us-east-2a".to_owned(), "us-east-2b".to_owned()],
        images: Images::default(),
        public_dns: None,
        queue_version: workspace.redis.version.clone().unwrap_or_else(|| "8.0".to_owned()),
    }
}

/// Outcome of a process.
#[derive(Debug)]
pub enum ProcessEnd {
    /// The run ended with this outcome.
    Finished(Outcome),
    /// The run failed before it had an outcome.
    Failed(Failure),
    /// The process was killed.
    Died,
}

impl ProcessEnd {
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Finished(outcome) if outcome.is_complete())
    }
}

/// HTTP connector of one process.
#[derive(Clone)]
struct ProcessConnector {
    account: SharedAccount,
    alive: Arc<AtomicBool>,
    death: Arc<Notify>,
}

/// Never completes: a dead process receives no response.
async fn never_respond<T>() -> T {
    std::future::pending().await
}

impl ProcessConnector {
    async fn serve(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let call = Call::read(&request);
        let latency = self.account.lock().unwrap_or_else(PoisonError::into_inner).times.latency;
        sleep(latency).await;
        if !self.alive.load(Ordering::Relaxed) {
            return never_respond().await;
        }
        let (fault, answer) = self.receive(&call);
        if matches!(fault, Some(Fault::DiesBefore | Fault::DiesAfter)) {
            self.alive.store(false, Ordering::Relaxed);
            self.death.notify_one();
        }
        if matches!(fault, Some(Fault::DiesBefore | Fault::DiesAfter | Fault::Hangs | Fault::HangsDone)) {
            return never_respond().await;
        }
        sleep(latency).await;
        if !self.alive.load(Ordering::Relaxed) {
            return never_respond().await;
        }
        if fault == Some(Fault::AnswerLost) {
            let reset = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "connection reset by peer");
            return Err(ConnectorError::io(reset.into()));
        }
        Ok(match answer {
            Ok(output) => wire::success(&call, &output),
            Err(refusal) => wire::refusal(&call, &refusal),
        })
    }

    /// Executes a call when it arrives, subject to its fault, if any. Returns the fault and the response.
    fn receive(&self, call: &Call) -> (Option<Fault>, Result<serde_json::Value, Refusal>) {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = account.faults.get(&account.calls.len()).copied();
        let before = account.around_calls.is_some().then(|| account.fork());
        let answer = match fault {
            Some(Fault::Refused | Fault::Throttled | Fault::Hangs | Fault::DiesBefore) => {
                Err(fault::refusal(call, fault.unwrap_or(Fault::Refused)))
            }
            Some(Fault::Internal) => account.execute(call).and(Err(fault::refusal(call, Fault::Internal))),
            _ => account.execute(call),
        };
        if let (Some(around_calls), Some(before)) = (account.around_calls.clone(), before) {
            let after = account.fork();
            around_calls.lock().unwrap_or_else(PoisonError::into_inner).push(AccountAroundCall { before, after });
        }
        let when = account.now();
        let input = input(&account, call);
        account.calls.push(ReceivedCall {
            when,
            name: call.name(),
            writes: call.writes(),
            is_state: call.is_state(),
            input,
            code: answer.as_ref().err().map(|refusal| refusal.code.clone()).unwrap_or_default(),
        });
        (fault, answer)
    }
}

/// Describes the input of a call; for a write of the snapshot, only what is relevant in a transcript.
fn input(account: &Account, call: &Call) -> String {
    let Some(snapshot) = account.stored.as_ref().filter(|_| call.service == "s3" && call.writes()) else {
        return call.input.to_string();
    };
    let not_ready = snapshot.resources.iter().filter(|(_, record)| !record.ready);
    let not_ready: Vec<&str> = not_ready.map(|(address, _)| address.as_str()).collect();
    let intents = snapshot.intents.as_ref().map(|intents| intents.steps.len());
    format!("serial {}, intents {intents:?}, not ready {not_ready:?}", snapshot.serial)
}

impl std::fmt::Debug for ProcessConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProcessConnector")
    }
}

impl HttpConnector for ProcessConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().serve(request))
    }
}

/// Time source for the SDK that follows the paused clock.
#[derive(Debug)]
struct PausedClock(Instant);

impl TimeSource for PausedClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000) + self.0.elapsed()
    }
}

/// A process of the tool for one workspace.
pub struct Process {
    aws: SdkConfig,
    death: Arc<Notify>,
    graph: Graph,
}

impl Process {
    /// Creates a process with clients of its own, which have the settings of `pb_aws::connect`.
    pub fn new(account: &SharedAccount, workspace: &Workspace) -> Self {
        let death = Arc::new(Notify::new());
        let process = ProcessConnector {
            account: Arc::clone(account),
            alive: Arc::new(AtomicBool::new(true)),
            death: Arc::clone(&death),
        };
        let connector = SharedHttpConnector::new(process);
        let aws = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test")))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .time_source(SharedTimeSource::new(PausedClock(Instant::now())))
            .retry_config(pb_aws::retries())
            .timeout_config(pb_aws::timeouts())
            .build();
        let mut graph = stack::build(&aws, workspace, &prerequisites(workspace)).unwrap();
        if account.lock().unwrap_or_else(PoisonError::into_inner).counts_jobs {
            stack::queued_jobs::add_guard(&mut graph, &aws, workspace, &owner(), false).unwrap();
        }
        Self { aws, death, graph }
    }

    /// Runs a deploy or a destroy until it has ended or the process has died.
    pub async fn run(&self, goal: Goal) -> ProcessEnd {
        tokio::select! {
            biased;
            () = self.death.notified() => ProcessEnd::Died,
            end = self.work(goal) => match end {
                Ok(outcome) => ProcessEnd::Finished(outcome),
                Err(failure) => ProcessEnd::Failed(failure),
            },
        }
    }

    async fn work(&self, goal: Goal) -> Result<Outcome, Failure> {
        let store = Store::new(&self.aws, &state_location());
        let leases = LeaseTable::new(&self.aws, &state_location(), Timing::default()).simulated();
        let session = Session::open(store, &leases, &AcquireOptions::new("sim", "deploy"), Events::none()).await?;
        let acted = self.under_lease(goal, &session).await;
        let closed = session.close().await;
        let outcome = acted?;
        closed.map(|()| outcome)
    }

    async fn under_lease(&self, goal: Goal, session: &Session) -> Result<Outcome, Failure> {
        let plan = self.plan(goal, &session.snapshot()).await?;
        let run = Run {
            id: uuid::Uuid::new_v4().to_string(),
            operation: goal.into(),
            owner: Arc::new(owner()),
            events: Events::none(),
            cancel: Cancel::never(),
        };
        let outcome = apply_plan(&self.graph, &plan, session, &run).await?;
        outcome.unrecorded.clone().map_or(Ok(outcome), Err)
    }

    /// Computes the plan without writing anything.
    pub async fn plan(&self, goal: Goal, snapshot: &Snapshot) -> Result<Plan, Failure> {
        let (owner, cancel) = (Arc::new(owner()), Cancel::never());
        let observed = observe(&self.graph, snapshot, &owner, &cancel);
        let observed = match goal {
            Goal::Deploy => with_checks(&self.graph, snapshot, observed).await?,
            Goal::Destroy => observed.await?,
        };
        let refused = |refused| Failure::new(Class::Unmanaged, "plan", format!("{refused:?}"));
        let plan = compute_plan(&self.graph, &observed, snapshot, goal, &PlanScope::default())?.map_err(refused)?;
        let blocked = preflight(&self.graph, &observed, &owner, &plan).await?;
        if blocked.is_empty() { Ok(plan) } else { Err(refused(blocked)) }
    }

    pub fn resources(&self) -> usize {
        self.graph.addresses().count()
    }
}

/// Wraps an account so that several processes can share it.
pub fn shared(account: Account) -> SharedAccount {
    Arc::new(Mutex::new(account))
}
