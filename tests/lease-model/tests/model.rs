//! Every order in which processes, their requests and time itself can go; see the crate's documentation.

use pb_lease_model::model::{Bounds, Protocol};
use pb_lease_model::protocol::Timing;
use pb_lease_model::{LEASE, at};
use stateright::{Checker, Model};

/// Requests may be late for ever, processes may stand still for as long as they like.
const ANY_ORDER: Bounds = Bounds {
    processes: 2,
    ticks: 5,
    requests: 4,
    late: 2,
    unheard: 1,
    deaths: 1,
    resets: 0,
    guarded: true,
    restores: false,
    prompt: false,
    trusted: LEASE,
};
/// The table loses its item at any moment.
const LOST_TABLE: Bounds = Bounds { ticks: 3, late: 1, deaths: 0, resets: 1, ..ANY_ORDER };

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
    check(Bounds { processes: 3, ticks: 9, requests: 5, late: 0, prompt: true, ..ANY_ORDER });
}

#[test]
fn lost_table_lets_no_write_go_behind_a_later_fence() {
    check(LOST_TABLE);
}

#[test]
fn lost_table_is_followed_by_a_restore_and_no_write_goes_back() {
    check(Bounds { ticks: 2, unheard: 0, restores: true, ..LOST_TABLE });
}

/// The model can fail: without a look at the fence of the snapshot a lost table lets a write go back.
#[test]
fn lost_table_that_is_not_guarded_is_found_out() {
    let checker = Protocol::new(Bounds { guarded: false, ..LOST_TABLE }).checker().threads(2).spawn_bfs().join();
    assert!(checker.discovery("no write after one with a higher fence").is_some());
}

/// The model can fail: a holder that trusts its lease for longer than others wait is found out.
#[test]
fn a_holder_that_trusts_its_lease_for_too_long_is_found_out() {
    let trusted = Timing { lease: LEASE.lease + at(1), ..LEASE };
    let checker = Protocol::new(Bounds { trusted, ..ANY_ORDER }).checker().threads(2).spawn_bfs().join();
    assert!(checker.discovery("two never believe to hold the lease").is_some());
}
