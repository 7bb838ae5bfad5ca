//! The resources to import: those given on the command line, those in a Terraform state, and security group rules that
//! are equal to configured ones.

use super::https_table;
use crate::cli::{AdoptOptions, Global};
use crate::exit::Error;
use crate::stack::names;
use crate::workspace::context::{connect, load_workspace};
use crate::workspace::stack_context::StackContext;
use pb_config::Workspace;
use pb_engine::{Action, Address, AdoptionPlan, Cancel, ErrorCode, Graph, Imports, Observed, Snapshot, Untagged};
use pb_engine::{observe_with_imports, plan_adoption};
use pb_net::{Ec2, SecurityGroupRule, SecurityGroupRuleSpec, matching_rules};
use pb_terraform::{
    DesiredResource, Difference, DifferenceKind, ImportCandidate, Location, Mapping, Resource, Source, Stack, State,
};
use pb_terraform::{differences, locations_elsewhere, map_resources};
use std::collections::BTreeMap;

/// Hint for resources in another account or region.
const WRONG_LOCATION: &str =
    "check the credentials (`--profile`), the `region` of the workspace and the given resources";

/// The resources to import, and their source.
pub struct ImportRequest {
    pub claims: Imports,
    pub mapping: Mapping,
    /// Lineage and serial of the Terraform state.
    pub state: Option<(String, u64)>,
    /// Differences between the architecture of the Terraform state and that of pb-deploy.
    pub differences: Vec<Difference>,
    /// Change of the configuration with which it would have the HTTPS listener of the Terraform state.
    pub https_advice: String,
    /// Set to also restore the tags of all untagged resources.
    pub restore_tags: bool,
}

/// Parses an address from the command line.
///
/// # Errors
/// `Usage` if it is invalid.
pub fn address(text: &str) -> Result<Address, Error> {
    Address::new(text)
        .map_err(|error| Error::usage(error.to_string(), "`pb-deploy state list` shows the recorded addresses"))
}

/// Returns the location of the Terraform state, if one is given.
///
/// # Errors
/// `Usage` if it is invalid.
pub fn source(adoption: &AdoptOptions) -> Result<Option<Source>, Error> {
    let source = adoption.from_terraform.as_deref().map(Source::parse).transpose();
    source.map_err(|why| Error::usage(why, "use the bucket and key of Terraform's backend"))
}

/// Returns the name of the repository to import, if there is one. The images are then looked up in this repository.
///
/// # Errors
/// Invalid arguments; a Terraform state that cannot be read.
pub async fn repository(global: &Global, workspace: &str, adoption: &AdoptOptions) -> Result<Option<String>, Error> {
    let given = parse_pairs(&adoption.pairs)?;
    if let Some(name) = given.get(names::REPOSITORY) {
        return Ok(Some(name.rsplit(":repository/").next().unwrap_or(name).to_owned()));
    }
    let Some(source) = source(adoption)? else { return Ok(None) };
    let aws = connect(global, &load_workspace(global, workspace)?).await?;
    let state = State::parse(&source.read(&aws).await?)?;
    let mut named = state.resources.iter().filter(|found| found.kind == "aws_ecr_repository" && !found.deposed);
    let only = (named.next(), named.next());
    Ok(if let (Some(only), None) = only { only.attribute("name").map(str::to_owned) } else { None })
}

impl ImportRequest {
    /// Reads and maps the Terraform state, and adds the resources given on the command line, which take precedence.
    ///
    /// # Errors
    /// A Terraform state that cannot be read; a command line without resources.
    pub async fn read(context: &StackContext, adoption: &AdoptOptions) -> Result<Self, Error> {
        let given = parse_pairs(&adoption.pairs)?;
        let workspace = &context.base.workspace;
        let here = Location {
            account: Some(context.prerequisites.account.clone()),
            region: Some(context.base.workspace.region.clone()),
        };
        check_pairs(&given, &here)?;
        let mut named: BTreeMap<String, (String, bool)> = BTreeMap::new();
        let (mut mapping, state, differences) = match source(adoption)? {
            None if given.is_empty() && !adoption.restore_tags => {
                let hint =
                    "pass ADDRESS=ID, such as net/vpc=vpc-0123, or --from-terraform s3://BUCKET/KEY, or --restore-tags";
                return Err(Error::usage("no resource to adopt was given", hint));
            }
            None => (Mapping::default(), None, Vec::new()),
            Some(source) => {
                let state = State::parse(&source.read(&context.base.aws).await?)?;
                check_state(&state, &source, &here)?;
                let is_given = |found: &&Resource| given.values().any(|id| *id == found.id);
                let also_given = state.resources.iter().filter(is_given);
                named.extend(also_given.map(|found| (found.id.clone(), (found.address.clone(), found.tainted))));
                let open: Vec<Resource> = state.resources.iter().filter(|found| !is_given(found)).cloned().collect();
                let missing = context.prerequisites.images.missing().map(|(service, _)| service.to_owned());
                let (desired, without_images) = (targets(&context.graph, &given)?, missing.collect::<Vec<_>>());
                let stack = Stack {
                    desired: &desired,
                    location: &here,
                    https: workspace.https.is_some(),
                    without_images: &without_images,
                };
                let mapping = map_resources(&open, &stack);
                let differences = relevant(differences(&state.resources, &mapping), workspace);
                (mapping, Some((state.lineage, state.serial)), differences)
            }
        };
        for (address, id) in given {
            let (terraform, tainted) = named.remove(&id).unwrap_or_default();
            mapping.imports.insert(address, ImportCandidate { id, terraform, tainted });
        }
        let claims = mapping.imports.iter().map(|(address, claim)| (address.clone(), claim.id.clone())).collect();
        let https_advice =
            https_table::advice(workspace, differences.iter().find_map(|difference| difference.https.as_ref()));
        Ok(Self { claims, mapping, state, differences, https_advice, restore_tags: adoption.restore_tags })
    }
}

/// Returns the differences without HTTPS if it is configured, and without autoscaling of services whose counts the
/// configuration ignores.
fn relevant(mut differences: Vec<Difference>, workspace: &Workspace) -> Vec<Difference> {
    let is_ignored =
        |address: &Address| workspace.ignore_changes.contains(&names::desired_count(names::service_key(address)));
    differences.retain(|difference| {
        let services = &difference.services;
        if difference.what.is_https() {
            return workspace.https.is_none();
        }
        difference.what != DifferenceKind::Autoscaling || services.is_empty() || !services.iter().all(is_ignored)
    });
    differences
}

/// Refuses ids of resources in another account or region.
fn check_pairs(given: &BTreeMap<Address, String>, here: &Location) -> Result<(), Error> {
    for (address, id) in given {
        if let Some(location) = Location::of_arn(id).filter(|location| location.differs_from(here)) {
            let message = format!("{address}: {id} is in {location}, but the workspace is in {here}");
            return Err(Error::other(ErrorCode::WrongAccount, message, WRONG_LOCATION));
        }
    }
    Ok(())
}

/// Refuses a state without resources, and one whose resources are all in another account or region.
fn check_state(state: &State, source: &Source, here: &Location) -> Result<(), Error> {
    if state.resources.is_empty() {
        let hint = "pass the state of the stack: `terraform workspace list` shows the workspaces, and `terraform state \
                    list` the resources of the selected one; the state of a workspace other than `default` is at \
                    s3://BUCKET/env:/WORKSPACE/KEY";
        return Err(Error::other(
            ErrorCode::TerraformState,
            format!("the Terraform state {source} has no resources"),
            hint,
        ));
    }
    let elsewhere: Vec<String> = locations_elsewhere(&state.resources, here).iter().map(ToString::to_string).collect();
    if elsewhere.is_empty() {
        return Ok(());
    }
    let message = format!(
        "the resources of the Terraform state {source} are in {}, but the workspace is in {here}; nothing was changed",
        elsewhere.join("; ")
    );
    Err(Error::other(ErrorCode::WrongAccount, message, WRONG_LOCATION))
}

fn parse_pairs(pairs: &[String]) -> Result<BTreeMap<Address, String>, Error> {
    let mut claims = BTreeMap::new();
    for pair in pairs {
        let hint = "pass ADDRESS=ID, such as net/vpc=vpc-0123";
        let Some((left, id)) = pair.split_once('=').filter(|(_, id)| !id.is_empty()) else {
            return Err(Error::usage(format!("{pair:?} is not ADDRESS=ID"), hint));
        };
        if claims.insert(address(left)?, id.to_owned()).is_some() {
            return Err(Error::usage(format!("{left} is given twice"), hint));
        }
    }
    Ok(claims)
}

/// Returns the configured resources that were not given on the command line.
fn targets(graph: &Graph, given: &BTreeMap<Address, String>) -> Result<Vec<DesiredResource>, Error> {
    let specs = graph.specs()?.into_iter().zip(graph.node_kinds());
    let open = specs.filter(|((address, _), _)| !given.contains_key(address));
    Ok(open.map(|((address, spec), kind)| DesiredResource { address, kind: kind.to_owned(), spec }).collect())
}

/// Returns the plan of the import. Users do not know the ids of security group rules. Rules of the imported groups that
/// are equal to configured ones are therefore found and imported together with their groups.
///
/// # Errors
/// A read that fails; every resource that cannot be imported.
pub async fn plan_import(
    context: &StackContext,
    request: &ImportRequest,
    snapshot: &Snapshot,
    cancel: &Cancel,
) -> Result<AdoptionPlan, Error> {
    let (graph, mut claims) = (&context.graph, request.claims.clone());
    let mut observed = observe_with_imports(graph, snapshot, &context.base.owner, &claims, cancel).await?;
    let lost = untagged_claims(graph, &observed, request);
    if !lost.is_empty() {
        claims.extend(lost);
        observed = observe_with_imports(graph, snapshot, &context.base.owner, &claims, cancel).await?;
    }
    let first = plan_adoption(graph, &observed, snapshot, &claims)?.map_err(Error::Refused)?;
    let rules = matching_rules(&Ec2::from(&context.base.aws), &planned_rules(&first)).await?;
    if rules.is_empty() {
        return Ok(first);
    }
    claims.extend(rules);
    let observed = observe_with_imports(graph, snapshot, &context.base.owner, &claims, cancel).await?;
    plan_adoption(graph, &observed, snapshot, &claims)?.map_err(Error::Refused)
}

/// Returns the untagged resources that are imported in addition to the given resources: with `restore_tags`, all
/// untagged resources; otherwise, the untagged rules of the given security groups.
fn untagged_claims(graph: &Graph, observed: &Observed, request: &ImportRequest) -> Imports {
    let is_rule = |untagged: &Untagged| {
        let group = untagged.attrs.get("group_id").and_then(|group| group.as_str());
        untagged.kind == <SecurityGroupRule as pb_engine::Resource>::KIND
            && request.claims.values().any(|id| Some(id.as_str()) == group)
    };
    let open = observed.untagged.iter().filter(|(address, _)| !request.claims.contains_key(*address));
    let all = open.filter(|(address, untagged)| {
        (request.restore_tags || is_rule(untagged)) && graph.addresses().any(|known| known == *address)
    });
    all.map(|(address, untagged)| (address.clone(), untagged.import_id.clone())).collect()
}

/// Returns the security group rules that a deploy after the import would create in existing groups.
fn planned_rules(adoption_plan: &AdoptionPlan) -> Vec<(Address, SecurityGroupRuleSpec)> {
    let creates = adoption_plan
        .later
        .iter()
        .filter(|step| step.action == Action::Create && step.kind == <SecurityGroupRule as pb_engine::Resource>::KIND);
    creates.filter_map(|step| Some((step.address.clone(), step.desired::<SecurityGroupRule>().ok()?))).collect()
}
