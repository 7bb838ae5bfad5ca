//! What is to be taken over: what was asked for by hand, what a Terraform state names, and the rules that say what wanted
//! ones say.

use crate::cli::{AdoptOptions, Global};
use crate::context::{REPOSITORY, WorkspaceContext, connect, load_workspace};
use crate::exit::Error;
use pb_engine::{Action, Address, AdoptionPlan, Cancel, Graph, Imports, Observed, Snapshot, Untagged};
use pb_engine::{observe_with_imports, plan_adoption};
use pb_net::{Ec2, SecurityGroupRule, SecurityGroupRuleSpec, matching_rules};
use pb_terraform::{DesiredResource, ImportCandidate, Mapping, Source, State, map_resources};
use std::collections::BTreeMap;

/// What is to be taken over, and where that is known from.
pub struct ImportRequest {
    pub claims: Imports,
    pub mapping: Mapping,
    /// Lineage and serial of the Terraform state.
    pub state: Option<(String, u64)>,
    /// Set when all that is recorded and has lost its tags is taken over, too.
    pub restore_tags: bool,
}

/// An address that was typed.
///
/// # Errors
/// `Usage`, with what one looks like.
pub fn address(text: &str) -> Result<Address, Error> {
    Address::new(text).map_err(|error| Error::usage(error.to_string(), "`state list` shows those that are there"))
}

/// Where the Terraform state lies, when one is named.
///
/// # Errors
/// `Usage` when it is no name of one.
pub fn source(adoption: &AdoptOptions) -> Result<Option<Source>, Error> {
    let source = adoption.from_terraform.as_deref().map(Source::parse).transpose();
    source.map_err(|why| Error::usage(why, "name the object as Terraform's backend does"))
}

/// The name of the repository that is to be taken over, if one is: images are looked for in it.
///
/// # Errors
/// A command line that makes no sense; a state that cannot be read.
pub async fn repository(global: &Global, workspace: &str, adoption: &AdoptOptions) -> Result<Option<String>, Error> {
    let given = parse_pairs(&adoption.pairs)?;
    if let Some((_, name)) = given.iter().find(|(address, _)| address.as_str() == REPOSITORY) {
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
    /// Reads the Terraform state, maps it, and adds what was asked for by hand, which counts more.
    ///
    /// # Errors
    /// A state that cannot be read; a command line that names nothing.
    pub async fn read(context: &WorkspaceContext, adoption: &AdoptOptions) -> Result<Self, Error> {
        let given = parse_pairs(&adoption.pairs)?;
        let mut named: BTreeMap<String, String> = BTreeMap::new();
        let (mut mapping, state) = match source(adoption)? {
            None if given.is_empty() && !adoption.restore_tags => {
                let hint = "write ADDRESS=ID, such as net/vpc=vpc-0123, or --from-terraform s3://BUCKET/KEY, or --restore-tags";
                return Err(Error::usage("nothing is named to be adopted", hint));
            }
            None => (Mapping::default(), None),
            Some(source) => {
                let state = State::parse(&source.read(&context.aws).await?)?;
                let ids: Vec<&String> = given.values().collect();
                let (also_given, open): (Vec<_>, Vec<_>) =
                    state.resources.into_iter().partition(|found| ids.contains(&&found.id));
                named.extend(also_given.into_iter().map(|found| (found.id, found.address)));
                let targets: Vec<DesiredResource> = targets(&context.graph, &given)?;
                (map_resources(&open, &targets), Some((state.lineage, state.serial)))
            }
        };
        for (address, id) in given {
            let terraform = named.remove(&id).unwrap_or_default();
            mapping.imports.insert(address, ImportCandidate { id, terraform });
        }
        let claims = mapping.imports.iter().map(|(address, claim)| (address.clone(), claim.id.clone())).collect();
        Ok(Self { claims, mapping, state, restore_tags: adoption.restore_tags })
    }
}

fn parse_pairs(pairs: &[String]) -> Result<BTreeMap<Address, String>, Error> {
    let mut claims = BTreeMap::new();
    for pair in pairs {
        let hint = "write ADDRESS=ID, such as net/vpc=vpc-0123";
        let Some((left, id)) = pair.split_once('=').filter(|(_, id)| !id.is_empty()) else {
            return Err(Error::usage(format!("{pair:?} is not ADDRESS=ID"), hint));
        };
        if claims.insert(address(left)?, id.to_owned()).is_some() {
            return Err(Error::usage(format!("{left} is named twice"), hint));
        }
    }
    Ok(claims)
}

/// What the graph wants and nobody has named by hand.
fn targets(graph: &Graph, given: &BTreeMap<Address, String>) -> Result<Vec<DesiredResource>, Error> {
    let specs = graph.specs()?.into_iter().zip(graph.node_kinds());
    let open = specs.filter(|((address, _), _)| !given.contains_key(address));
    Ok(open.map(|((address, spec), kind)| DesiredResource { address, kind: kind.to_owned(), spec }).collect())
}

/// What taking them over comes to. A rule of a group has an id that says nothing, so the rules that say what wanted ones say
/// are looked for in the groups that are taken over, and taken over with them.
///
/// # Errors
/// A read that fails; every claim that cannot be had.
pub async fn plan_import(
    context: &WorkspaceContext,
    request: &ImportRequest,
    snapshot: &Snapshot,
    cancel: &Cancel,
) -> Result<AdoptionPlan, Error> {
    let (graph, mut claims) = (&context.graph, request.claims.clone());
    let mut observed = observe_with_imports(graph, snapshot, &context.owner, &claims, cancel).await?;
    let lost = untagged_claims(graph, &observed, request);
    if !lost.is_empty() {
        claims.extend(lost);
        observed = observe_with_imports(graph, snapshot, &context.owner, &claims, cancel).await?;
    }
    let first = plan_adoption(graph, &observed, snapshot, &claims)?.map_err(Error::Refused)?;
    let rules = matching_rules(&Ec2::from(&context.aws), &planned_rules(&first)).await?;
    if rules.is_empty() {
        return Ok(first);
    }
    claims.extend(rules);
    let observed = observe_with_imports(graph, snapshot, &context.owner, &claims, cancel).await?;
    plan_adoption(graph, &observed, snapshot, &claims)?.map_err(Error::Refused)
}

/// Recorded resources that have lost their tags and are taken over besides those that are named: all, when that is asked
/// for, or else the rules of groups that are named.
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

/// The rules that a deploy would make afterwards, in groups that are there.
fn planned_rules(adoption_plan: &AdoptionPlan) -> Vec<(Address, SecurityGroupRuleSpec)> {
    let steps = adoption_plan.afterwards.iter().flat_map(|plan| &plan.steps);
    let made = steps
        .filter(|step| step.action == Action::Create && step.kind == <SecurityGroupRule as pb_engine::Resource>::KIND);
    made.filter_map(|step| {
        let spec = serde_json::from_value(step.after.clone()?).ok()?;
        Some((step.address.clone(), spec))
    })
    .collect()
}
