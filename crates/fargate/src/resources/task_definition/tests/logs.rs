//! Log configurations.

use super::{Ecs, Fake, spec, stack, web};

#[tokio::test(start_paused = true)]
async fn log_mode_of_the_account_causes_no_new_revision() {
    let fake = Fake::<Ecs>::new();
    let mut implicit = spec("1");
    let log = web(&mut implicit).log.as_mut().unwrap();
    (log.mode, log.max_buffer_size) = (None, None);
    stack(&fake, implicit).deploy().await.unwrap();
    assert!(stack(&fake, spec("1")).plan().await.unwrap().is_empty(), "the account's default is non-blocking");
    let mut blocking = spec("1");
    let log = web(&mut blocking).log.as_mut().unwrap();
    (log.mode, log.max_buffer_size) = (Some("blocking".to_owned()), None);
    assert!(!stack(&fake, blocking).plan().await.unwrap().is_empty());
    stack(&fake, spec("2")).deploy().await.unwrap();
    let options = fake.get().revisions[1].0.container_definitions()[0].log_configuration().unwrap().clone();
    assert_eq!(options.options().unwrap()["mode"], "non-blocking", "the next revision names the mode");
}
