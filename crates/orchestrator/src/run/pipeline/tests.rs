//! The branches of the pipeline, over the engine's fake provider, with a paused clock.

mod fake;

use crate::exit::{Error, Exit};
use fake::{FakeState, Retag, Things, pipeline, world};
use pb_engine::{Class, Failure, Operation, Snapshot};

fn served(snapshot: &Snapshot) -> Vec<String> {
    snapshot.resources.keys().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn run_with_nothing_to_do_opens_no_state() {
    let (world, state) = (world(), FakeState::default());
    let things = Things::new(&world, "one");
    assert_eq!(pipeline(&state).run(&things).await.unwrap(), Exit::Done);
    assert_eq!(served(&state.stored()), ["test/a", "test/b"]);
    let state = state.reopened();
    world.take_calls();
    assert_eq!(pipeline(&state).run(&things).await.unwrap(), Exit::Done);
    assert_eq!((world.take_calls(), state.opened()), (vec![], 0));
    assert_eq!(things.log(), ["summary", "finish", "unchanged"]);
}

#[tokio::test(start_paused = true)]
async fn run_without_confirmation_opens_no_state() {
    let (world, state) = (world(), FakeState::default());
    let pipeline = super::Pipeline { yes: false, ..pipeline(&state) };
    let error = pipeline.run(&Things::new(&world, "one")).await.unwrap_err();
    assert_eq!(error.error_code().as_str(), "PB0105", "{error}");
    assert_eq!((world.take_calls(), state.opened()), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn plan_that_is_not_approved_is_not_applied() {
    let (world, state) = (world(), FakeState::default());
    let things = Things { approves: false, ..Things::new(&world, "one") };
    let error = pipeline(&state).run(&things).await.unwrap_err();
    assert!(matches!(error, Error::Other { .. }), "{error}");
    assert_eq!((world.take_calls(), state.opened(), state.closed()), (vec![], 1, 1));
}

#[tokio::test(start_paused = true)]
async fn plan_is_computed_again_under_the_lease() {
    let (world, state) = (world(), FakeState::default());
    pipeline(&state).run(&Things::new(&world, "one")).await.unwrap();
    world.take_calls();
    let other = world.clone();
    let state = state.reopened().on_open(move || other.change("test/a", "two"));
    let things = Things::new(&world, "two");
    assert_eq!(pipeline(&state).run(&things).await.unwrap(), Exit::Done);
    assert_eq!(world.take_calls(), ["update test/b"], "somebody else has already changed test/a");
    assert_eq!(things.log(), ["shown: 2", "approved: 1", "summary", "finish"]);
}

#[tokio::test(start_paused = true)]
async fn lost_lease_ends_the_run_with_its_reason() {
    let (world, state) = (world(), FakeState::default());
    let lease = state.clone();
    world.on_write(move |_| lease.lose());
    let things = Things::new(&world, "one");
    let Error::Failure(failure) = pipeline(&state).run(&things).await.unwrap_err() else { panic!() };
    assert_eq!((failure.class, failure.error_code().as_str()), (Class::Locked, "PB0302"));
    assert_eq!(things.log(), ["summary"], "the summary says what was done; nothing claims success");
    assert!(state.stored().intents.is_some(), "the next run finds what may exist");
}

#[tokio::test(start_paused = true)]
async fn first_signal_lets_running_steps_finish() {
    let (world, state) = (world(), FakeState::default());
    let signal = state.clone();
    world.on_write(move |_| signal.interrupt());
    let things = Things::new(&world, "one");
    assert_eq!(pipeline(&state).run(&things).await.unwrap(), Exit::Interrupted);
    assert_eq!(world.take_calls(), ["create test/a"], "test/b depends on it and is not started");
    assert_eq!(served(&state.stored()), ["test/a"]);
    assert_eq!(things.log(), ["interrupted", "summary", "finish"]);
    assert_eq!(state.closed(), 1);
}

#[tokio::test(start_paused = true)]
async fn second_signal_leaves_the_intents_for_the_next_run() {
    let (world, state) = (world(), FakeState::default());
    let (started, mut writes) = tokio::sync::mpsc::unbounded_channel();
    world.on_write(move |call| drop(started.send(call.to_owned())));
    let things = Things::new(&world, "one");
    let pipeline_of_first = pipeline(&state);
    tokio::select! {
        biased;
        // The process ends during the first write.
        write = writes.recv() => assert_eq!(write.unwrap(), "create test/a"),
        ended = pipeline_of_first.run(&things) => panic!("{ended:?}"),
    }
    assert_eq!((state.stored().intents.unwrap().steps.len(), state.closed()), (2, 0));
    let state = state.reopened();
    assert_eq!(pipeline(&state).run(&things).await.unwrap(), Exit::Done);
    assert_eq!((world.values().len(), served(&state.stored()).len()), (2, 2), "nothing is doubled");
}

#[tokio::test(start_paused = true)]
async fn failed_step_fails_the_run_and_keeps_the_progress() {
    let (world, state) = (world(), FakeState::default());
    world.fail("create test/b", Failure::new(Class::Refused, "fake:Create", "no"));
    let things = Things::new(&world, "one");
    assert_eq!(pipeline(&state).run(&things).await.unwrap(), Exit::Failed);
    assert_eq!(served(&state.stored()), ["test/a"]);
    world.heal();
    assert_eq!(pipeline(&state.reopened()).run(&things).await.unwrap(), Exit::Done);
}

#[tokio::test(start_paused = true)]
async fn failed_check_fails_the_run_after_all_steps() {
    let (world, state) = (world(), FakeState::default());
    world.fail("check test/served", Failure::new(Class::Failed, "serve", "nobody answers"));
    let things = Things::new(&world, "one");
    assert_eq!(pipeline(&state).run(&things).await.unwrap(), Exit::Failed);
    assert_eq!(served(&state.stored()), ["test/a", "test/b"]);
    assert!(state.stored().intents.is_none(), "nothing is left to apply");
}

#[tokio::test(start_paused = true)]
async fn failed_verification_fails_the_run() {
    let (world, state) = (world(), FakeState::default());
    let things = Things { verifies: false, ..Things::new(&world, "one") };
    assert_eq!(pipeline(&state).run(&things).await.unwrap(), Exit::Failed);
    assert_eq!(things.log(), ["verify: wrong", "summary", "finish"]);
}

#[tokio::test(start_paused = true)]
async fn run_whose_record_cannot_be_stored_is_not_called_done() {
    let (world, state) = (world(), FakeState::default());
    state.fail_close(Failure::new(Class::Unreachable, "store the snapshot", "cannot connect"));
    let things = Things::new(&world, "one");
    let Error::Failure(failure) = pipeline(&state).run(&things).await.unwrap_err() else { panic!() };
    assert_eq!(failure.operation, "store the snapshot");
    assert_eq!(things.log(), ["summary"]);
}

#[tokio::test(start_paused = true)]
async fn locked_state_is_not_changed() {
    let (world, state) = (world(), FakeState::default());
    state.fail_open(Failure::new(Class::Locked, "lock", "somebody holds it"));
    let error = pipeline(&state).run(&Things::new(&world, "one")).await.unwrap_err();
    assert_eq!((error.code(), error.error_code().as_str()), (3, "PB0301"));
    assert!(world.take_calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn new_command_needs_only_an_input() {
    let (world, state) = (world(), FakeState::default());
    pipeline(&state).run(&Things::new(&world, "one")).await.unwrap();
    world.take_calls();
    let state = state.reopened();
    assert_eq!(pipeline(&state).run(&Retag(Things::new(&world, "one"))).await.unwrap(), Exit::Done);
    let mut calls = world.take_calls();
    calls.sort();
    assert_eq!(calls, ["tag test/a", "tag test/b"]);
    assert_eq!(state.operations(), [Operation::Adopt]);
}
