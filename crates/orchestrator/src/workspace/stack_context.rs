//! Context of a command about the whole stack of one workspace: prerequisites, graph, plan.

use crate::cli::{Global, OnInterrupt, Selection, WaitOptions};
use crate::exit::Error;
use crate::run::saved_plan::{PlanBinding, fingerprint, observed_fingerprint};
use crate::stack;
use crate::stack::{names, queued_jobs};
use crate::workspace::context::{
    WorkspaceContext, account_region, connect, load_workspace, project_folder, state_location,
};
use crate::workspace::images::{ImageOverrides, Images, NotDeployed, apply_overrides, repository};
use crate::workspace::prerequisites::{self, Prerequisites};
use crate::workspace::role_permissions::{self, Lacking};
use crate::workspace::{lost_images, select, tag_index, untagged};
use aws_config::SdkConfig;
use pb_config::Workspace;
use pb_engine::{
    Action, Address, Cancel, Failure, Goal, Graph, Observed, Ownership, Plan, PlanScope, Snapshot, TagIndex, Untagged,
};
use pb_engine::{compute_plan, observe, observe_with_index, preflight, with_checks};
use pb_state::{Session, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Workspace with the graph of its stack, and with everything that planning needs.
pub struct StackContext {
    pub base: WorkspaceContext,
    pub prerequisites: Prerequisites,
    pub graph: Graph,
    /// Index of the ownership tags; for previews only, not for runs that change something.
    index: Option<TagIndex>,
    /// Scope of the run's plan; everything by default.
    pub scope: PlanScope,
    /// Set if jobs in a queue that is deleted may be lost.
    lose_jobs: bool,
}

/// Options from the command line.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Images by service.
    pub images: ImageOverrides,
    /// Options for waiting for rollouts.
    pub wait: WaitOptions,
    /// Selected part of the stack.
    pub selection: Selection,
    /// Name of the repository that is about to be imported.
    pub repository: Option<String>,
    /// Action for rollouts in progress if the run is interrupted; `None` to ask on a terminal.
    pub on_interrupt: Option<OnInterrupt>,
    /// Set if the plan that is applied may delete or replace more than the plan that was shown.
    pub accept_changed_plan: bool,
    /// Set if a destroy deletes the images with the repository, whatever the configuration says.
    pub delete_images: bool,
    /// Set if jobs in a queue that is deleted may be lost.
    pub lose_jobs: bool,
}

/// Plan with the values that it is bound to.
pub struct PlanResult {
    pub plan: Plan,
    pub binding: PlanBinding,
    /// Problems that may make the run fail.
    pub warnings: Vec<String>,
}

/// Builds the graph of a workspace, with the fields in `ignore_changes`.
fn build_graph(
    aws: &SdkConfig,
    workspace: &Workspace,
    prerequisites: &Prerequisites,
    owner: &Ownership,
    lose_jobs: bool,
) -> Result<Graph, Error> {
    let mut graph = stack::build(aws, workspace, prerequisites)?;
    queued_jobs::add_guard(&mut graph, aws, workspace, owner, lose_jobs)?;
    // A service whose image is not pushed yet is not in the graph.
    let whole = prerequisites.images.missing().next().is_none();
    select::apply_ignore_changes(&mut graph, workspace, whole)?;
    Ok(graph)
}

impl StackContext {
    /// Reads the configuration, the prerequisites and the snapshot. Changes nothing.
    ///
    /// # Errors
    /// An invalid configuration; missing prerequisites; a snapshot that cannot be read, or that belongs to another
    /// account or region.
    pub async fn open(global: &Global, name: &str, goal: Goal, options: &RunOptions) -> Result<Self, Error> {
        let mut workspace = load_workspace(global, name)?;
        apply_overrides(&mut workspace, &options.images)?;
        if let Some(seconds) = options.wait.wait_timeout {
            workspace.deploy.wait_timeout = seconds;
        }
        if options.wait.no_wait {
            workspace.deploy.wait_timeout = 0;
        }
        workspace.repository.delete_images |= options.delete_images;
        let aws = connect(global, &workspace).await?;
        let location = state_location(&workspace);
        let store = Store::new(&aws, &location);
        let (snapshot, ahead, index) = tokio::join!(
            Session::read_only(&store),
            prerequisites::fetch_independent(&aws, &workspace, goal),
            tag_index::look_up(&aws, &location.owner),
        );
        let snapshot = match snapshot {
            Ok(snapshot) => snapshot,
            Err(failure) => {
                return Err(prerequisites::without_snapshot(&aws, &workspace, goal, failure, ahead).await);
            }
        };
        // Checked before the other results are used: in another account or region, all resources would seem to be
        // missing.
        account_region(&workspace, ahead.account()).check(&snapshot, name)?;
        let moved = use_recorded_repository(&mut workspace, &snapshot, options.repository.as_deref());
        keep_manual_counts(&mut workspace, &snapshot);
        let prerequisites = prerequisites::resolve(&aws, &workspace, &snapshot, goal, ahead, moved).await?;
        // The index may not yet contain resources that an unfinished run created.
        let index = index.filter(|_| snapshot.intents.is_none());
        let lose_jobs = options.lose_jobs;
        let graph = build_graph(&aws, &workspace, &prerequisites, &location.owner, lose_jobs)?;
        let scope = select::plan_scope(&graph, &snapshot, &options.selection)?;
        let (owner, timing) = (Arc::new(location.owner.clone()), global.timing());
        let account_region = account_region(&workspace, Some(prerequisites.account.clone()));
        let project = project_folder(global);
        let base = WorkspaceContext { workspace, project, aws, owner, location, account_region, snapshot, timing };
        Ok(Self { base, prerequisites, graph, index, scope, lose_jobs })
    }

    /// Returns this context with newly pushed images; `None` if no missing image has been pushed in the meantime.
    ///
    /// # Errors
    /// A graph that cannot be built.
    pub async fn with_pushed_images(&self) -> Result<Option<Self>, Error> {
        let Ok(images) = Images::look_up(&self.base.aws, &self.base.workspace).await else { return Ok(None) };
        if images.missing().count() >= self.prerequisites.images.missing().count() {
            return Ok(None);
        }
        let prerequisites = Prerequisites { images, ..self.prerequisites.clone() };
        let WorkspaceContext { aws, workspace, owner, .. } = &self.base;
        Ok(Some(Self {
            graph: build_graph(aws, workspace, &prerequisites, owner, self.lose_jobs)?,
            lose_jobs: self.lose_jobs,
            base: self.base.clone(),
            prerequisites,
            index: None,
            scope: self.scope.clone(),
        }))
    }

    /// Computes a preview of the [`plan`](Self::plan) without a lease. Does not wait for resources that an unfinished
    /// run may have created, because that run may still be active; under the lease, [`plan`](Self::plan) waits for
    /// them.
    ///
    /// # Errors
    /// The errors of [`plan`](Self::plan).
    pub async fn preview_plan(&self, goal: Goal) -> Result<PlanResult, Error> {
        let snapshot = Snapshot { intents: None, ..self.base.snapshot.clone() };
        let mut seen = snapshot.clone();
        seen.resources.values_mut().for_each(|record| record.ready = true);
        let mut observed = self.with_checks(&seen, goal, self.observe_cached(&seen)).await?;
        observed.ignore_recent(&self.base.snapshot);
        self.plan_observed(&snapshot, &observed, goal).await
    }

    /// Reads AWS and computes the plan. Changes nothing.
    ///
    /// # Errors
    /// A failed read; a refused plan.
    pub async fn plan(&self, snapshot: &Snapshot, goal: Goal, cancel: &Cancel) -> Result<PlanResult, Error> {
        let observed = self.with_checks(snapshot, goal, self.observe(snapshot, cancel)).await?;
        self.plan_observed(snapshot, &observed, goal).await
    }

    /// Adds the state of the checks to a read, except for a destroy, which does not need them.
    async fn with_checks(
        &self,
        snapshot: &Snapshot,
        goal: Goal,
        observed: impl Future<Output = Result<Observed, Failure>>,
    ) -> Result<Observed, Failure> {
        match goal {
            Goal::Deploy => with_checks(&self.graph, snapshot, observed).await,
            Goal::Destroy => observed.await,
        }
    }

    async fn plan_observed(&self, snapshot: &Snapshot, observed: &Observed, goal: Goal) -> Result<PlanResult, Error> {
        let plan = compute_plan(&self.graph, observed, snapshot, goal, &self.scope)?;
        let plan = plan.map_err(|refused| {
            let refused = lost_images::with_remedy(&self.base.workspace.name, goal, observed, refused);
            untagged::plan_error(&self.base.workspace.name, observed, refused)
        })?;
        let (aws, workspace) = (&self.base.aws, &self.base.workspace);
        let (blocked, lacking) = tokio::join!(
            preflight(&self.graph, observed, &self.base.owner, &plan),
            role_permissions::check(aws, workspace, &self.prerequisites, &plan),
        );
        let Lacking { refused, warnings } = lacking;
        let blocked: Vec<_> = blocked?.into_iter().chain(refused).collect();
        if !blocked.is_empty() {
            return Err(Error::Refused(blocked));
        }
        if goal == Goal::Deploy {
            self.prerequisites.images.check_deletions(&plan)?;
        }
        let binding = self.plan_binding(snapshot, observed);
        Ok(PlanResult { plan, binding, warnings })
    }

    /// Reads the resources of this workspace.
    ///
    /// # Errors
    /// A failed read.
    pub async fn observe(&self, snapshot: &Snapshot, cancel: &Cancel) -> Result<Observed, Failure> {
        observe(&self.graph, snapshot, &self.base.owner, cancel).await
    }

    /// Reads the resources of this workspace with as few calls as possible, for callers that change nothing.
    ///
    /// # Errors
    /// A failed read.
    pub async fn observe_cached(&self, snapshot: &Snapshot) -> Result<Observed, Failure> {
        observe_with_index(&self.graph, snapshot, &self.base.owner, self.index.as_ref(), &Cancel::never()).await
    }

    /// Returns the recorded resources without ownership tags, as read from the AWS services themselves. Does not wait
    /// for resources that an unfinished run has just created.
    ///
    /// # Errors
    /// A failed read.
    pub async fn untagged(&self) -> Result<BTreeMap<Address, Untagged>, Failure> {
        let mut seen = Snapshot { intents: None, ..self.base.snapshot.clone() };
        seen.resources.values_mut().for_each(|record| record.ready = true);
        let mut observed = self.observe(&seen, &Cancel::never()).await?;
        observed.ignore_recent(&self.base.snapshot);
        Ok(observed.untagged)
    }

    /// Returns the values that a plan computed from this read is bound to.
    pub fn plan_binding(&self, snapshot: &Snapshot, observed: &Observed) -> PlanBinding {
        PlanBinding {
            account: self.prerequisites.account.clone(),
            region: self.base.workspace.region.clone(),
            stack: self.base.owner.stack.clone(),
            workspace: self.base.owner.workspace.clone(),
            lineage: snapshot.lineage.clone(),
            serial: snapshot.serial,
            configuration: fingerprint(&self.base.workspace),
            images: self.prerequisites.images.identities(),
            observed: observed_fingerprint(&self.graph, observed),
        }
    }

    /// Returns the services that a run with this goal leaves out because their images are not pushed yet. Empty for a
    /// run with targets.
    pub fn not_deployed(&self, goal: Goal) -> Vec<NotDeployed> {
        if goal == Goal::Destroy || !self.scope.is_all() {
            return Vec::new();
        }
        let uri = repository(&self.base.workspace, &self.base.snapshot.outputs);
        self.prerequisites.images.not_deployed(&self.base.workspace, uri)
    }

    /// Returns a title such as `staging (account 123456789012, us-east-2)`.
    pub fn title(&self) -> String {
        format!("{} (account {}, {})", self.base.workspace.name, self.prerequisites.account, self.base.workspace.region)
    }
}

/// Uses the name of an imported repository, in which the images are then looked up. Returns whether this name differs
/// from the configured name.
fn use_recorded_repository(workspace: &mut Workspace, snapshot: &Snapshot, adopted: Option<&str>) -> bool {
    let name = snapshot.resources.get(names::REPOSITORY).and_then(|record| record.attrs.get("name")?.as_str());
    let Some(name) = adopted.or(name).filter(|name| *name != workspace.names.repository) else { return false };
    name.clone_into(&mut workspace.names.repository);
    true
}

/// Keeps counts that `scale` set, if `keep_scale` is configured and the configured count has not changed since.
fn keep_manual_counts(workspace: &mut Workspace, snapshot: &Snapshot) {
    for (address, scaled) in &snapshot.scaled {
        if let Some(service) = workspace.services.get_mut(names::service_key(address))
            && service.keep_scale
            && service.count == scaled.configured
        {
            service.count = scaled.count;
        }
    }
}

/// Returns whether the snapshot already contains everything that an empty plan would record.
pub fn is_recorded(snapshot: &Snapshot, plan: &Plan) -> bool {
    let steps = || plan.steps.iter().filter(|step| step.action != Action::Delete);
    let kept: BTreeSet<_> = steps().map(|step| &step.address).collect();
    snapshot.intents.is_none()
        && steps().all(|step| step.action == Action::Untargeted || snapshot.resources.contains_key(&step.address))
        && snapshot.resources.keys().all(|address| kept.contains(address))
}
