//! Reader of the settings of HTTPS.

use std::collections::BTreeMap;

use pb_rules::{dns, https as rules};

use crate::reader::{Located, Origin};
use crate::section::Section;
use crate::workspace::{Https, Services};

/// Values of other keys that the settings depend on.
pub(crate) struct Site<'a> {
    /// Hostname of the workspace.
    pub(crate) hostname: &'a str,
    pub(crate) region: &'a Located<String>,
    pub(crate) services: &'a Services,
}

/// Reads the table; `None` if it is missing or switched off.
pub(crate) fn https(section: &mut Section<'_, '_>, site: &Site<'_>) -> Option<Https> {
    let is_present = section.is_written();
    let enabled = section.flag("enabled", true);
    let certificate = section.optional_text("certificate_arn", rules::certificate_arn);
    let names = section.texts("names", Some("[]"), |name| dns::hostname(name).map(|()| name.to_owned()));
    let zones = section.map("zones", dns::hostname, |_, zone_id| dns::zone_id(zone_id));
    let policy = section.text("policy", rules::DEFAULT_POLICY, rules::policy);
    let hsts = section.optional_text("hsts", |text| rules::hsts(text).map(drop));
    let redirect = section.flag("redirect", true);
    if !is_present || !enabled.value {
        return None;
    }
    if let Some(arn) = &certificate.value {
        let help = "choose a certificate of the same region, or remove the key, so that one is requested";
        section.reader.check(&[&certificate.origin, &site.region.origin], "certificate_arn", help, || {
            rules::certificate_region(arn, &site.region.value)
        });
    }
    let names_origin = names.origin;
    let names = names.value.unwrap_or_default();
    let certificate_names = certificate_names(section, site, &names, &names_origin);
    check_priorities(section, site.services, redirect.value);
    let zones: BTreeMap<String, String> = zones.into_iter().map(|(name, zone)| (name, zone.value)).collect();
    Some(Https {
        certificate_arn: certificate.value,
        certificate_names,
        names: names.into_iter().filter(|name| name != site.hostname).collect(),
        zones,
        policy: policy.value,
        hsts: hsts.value.and_then(|text| rules::hsts(&text).ok()),
        redirect: redirect.value,
    })
}

/// Returns the names that the certificate must contain, without those that a wildcard name among them covers.
fn certificate_names(section: &mut Section<'_, '_>, site: &Site<'_>, names: &[String], origin: &Origin) -> Vec<String> {
    let mut wanted = vec![site.hostname.to_owned()];
    let routed = site.services.routed().flat_map(|(_, _, route)| &route.hosts);
    let mut add = |name: String| {
        if !wanted.contains(&name) {
            wanted.push(name);
        }
    };
    for pattern in routed {
        match rules::name_of_pattern(pattern) {
            Ok(name) => add(name),
            Err(violation) => {
                let help = "change `hosts` of the service";
                section.reader.check(&[], "enabled", help, || Err(violation.clone()));
            }
        }
    }
    names.iter().cloned().for_each(add);
    let is_covered = |name: &String| wanted.iter().any(|other| other != name && rules::covers(other, name));
    // The hostname stays the first name, and with it the common name, even if a wildcard covers it.
    let kept = wanted.iter().enumerate().filter(|(index, name)| *index == 0 || !is_covered(name));
    let kept: Vec<String> = kept.map(|(_, name)| name.clone()).collect();
    section.reader.check(&[origin], "names", "use wildcards, or fewer names", || rules::name_count(kept.len()));
    section.reader.check(&[], "enabled", "choose a shorter hostname", || rules::first_certificate_name(site.hostname));
    kept
}

/// Checks that no rule has the priority of the redirect.
fn check_priorities(section: &mut Section<'_, '_>, services: &Services, redirect: bool) {
    let taken = services.routed().find(|(_, _, route)| route.priority == rules::REDIRECT_PRIORITY);
    let Some((key, ..)) = taken.filter(|_| redirect) else { return };
    let help = format!("give the service `{key}` another `priority`, or set `redirect = false`");
    section.reader.check(&[], "redirect", &help, || {
        let why =
            format!("the redirect from HTTP has the priority {}, as the service `{key}` has", rules::REDIRECT_PRIORITY);
        Err(pb_rules::Violation::new(why))
    });
}
