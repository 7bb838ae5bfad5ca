//! Every order in which processes, their requests and time itself can go; see the crate's documentation.

use pb_lease_model::model::{Bounds, Protocol};
use pb_lease_model::protocol::Timing;
use pb_lease_model::{LEASE, at};
use stateright::{Checker, Model};

/// Requests may be late for ever, processes may stand still for as long as they like.
const ANY_ORDER: Bounds =
    Bounds { processes: 2, ticks: 5, requests: 4, late: 2, unheard: 1, deaths: 1, prompt: false, trusted: LEASE };

fn check(bounds: Bounds) {
    let checker = Protocol::new(bounds).checker().threads(2).spawn_bfs().join();
    println!("lease model: {} states of {bounds:?}", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn no_order_of_events_lets_two_fences_write() {
    check(ANY_ORDER);
}

#[test]
fn nor_do_three_processes_that_follow_each_other() {
    check(Bounds { processes: 3, ticks: 4, requests: 3, late: 1, unheard: 0, deaths: 0, ..ANY_ORDER });
}

#[test]
fn a_lease_that_is_free_or_whose_holder_is_dead_is_finally_taken_by_everybody_who_wants_it() {
    check(Bounds { processes: 3, ticks: 9, requests: 5, late: 0, unheard: 1, deaths: 1, prompt: true, trusted: LEASE });
}

/// The model can fail: a holder that trusts its lease for longer than others wait is found out.
#[test]
fn a_holder_that_trusts_its_lease_for_too_long_is_found_out() {
    let trusted = Timing { lease: LEASE.lease + at(1), ..LEASE };
    let checker = Protocol::new(Bounds { trusted, ..ANY_ORDER }).checker().threads(2).spawn_bfs().join();
    assert!(checker.discovery("two never believe to hold the lease").is_some());
}
