//! Lists of resources, joined with details from further calls.

use crate::model::failure::Failure;
use crate::model::unknown::is_unknown;
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use futures_util::future::try_join;
use futures_util::stream;
use std::collections::{BTreeSet, HashMap};

/// Maximum number of parallel calls that each request the details of one key.
const AT_A_TIME: usize = 8;

/// Joins the items of `list` with the details that `ask` returns for their keys. An item without details is returned
/// with `None`.
///
/// Details for the `likely` keys, which are those of recorded resources, are requested in parallel with the list. If
/// the listed resources are the recorded ones, the whole read takes one round trip instead of two. `ask` must not fail
/// for a likely key that no longer exists.
///
/// # Errors
/// The error of `list` or `ask`.
pub async fn list_with_details<T, V, A, F>(
    list: impl Future<Output = Result<Vec<T>, Failure>>,
    likely: impl IntoIterator<Item = String>,
    key: impl Fn(&T) -> Option<String>,
    ask: A,
) -> Result<Vec<(T, Option<V>)>, Failure>
where
    A: Fn(Vec<String>) -> F,
    F: Future<Output = Result<HashMap<String, V>, Failure>>,
{
    let likely: BTreeSet<String> = likely.into_iter().filter(|key| !is_unknown(key)).collect();
    let (found, mut details) = try_join(list, ask(likely.iter().cloned().collect())).await?;
    let others: BTreeSet<String> = found.iter().filter_map(&key).filter(|key| !likely.contains(key)).collect();
    if !others.is_empty() {
        details.extend(ask(others.into_iter().collect()).await?);
    }
    let with = |one: T| {
        let details = key(&one).and_then(|key| details.remove(&key));
        (one, details)
    };
    Ok(found.into_iter().map(with).collect())
}

/// Calls `ask` for each of `keys`, several at a time. Omits the keys for which `ask` returns `None`.
///
/// # Errors
/// The error of `ask`.
pub async fn fetch_each<V, A, F>(keys: Vec<String>, ask: A) -> Result<HashMap<String, V>, Failure>
where
    A: Fn(String) -> F,
    F: Future<Output = Result<Option<V>, Failure>>,
{
    let requested = keys.into_iter().map(|key| {
        let answer = ask(key.clone());
        async move { Ok((key, answer.await?)) }
    });
    let details: Vec<(String, Option<V>)> = stream::iter(requested).buffer_unordered(AT_A_TIME).try_collect().await?;
    Ok(details.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
}

#[cfg(test)]
mod tests {
    use super::{fetch_each, list_with_details};
    use crate::model::failure::{Class, Failure};
    use crate::model::unknown::unknown;
    use std::collections::HashMap;
    use std::sync::Mutex;
    use std::time::Duration;
    use tokio::time::{Instant, sleep};

    const TRIP: Duration = Duration::from_secs(1);

    async fn list(keys: &[&str]) -> Result<Vec<String>, Failure> {
        sleep(TRIP).await;
        Ok(keys.iter().map(|&key| key.to_owned()).collect())
    }

    /// Returns the listed items with their details, the keys of each call, and the number of round trips.
    async fn run(existing: &[&str], likely: &[&str]) -> (Vec<(String, Option<usize>)>, Vec<Vec<String>>, u64) {
        let (requested, since) = (Mutex::new(Vec::new()), Instant::now());
        let ask = |keys: Vec<String>| {
            requested.lock().unwrap().push(keys.clone());
            async move {
                if !keys.is_empty() {
                    sleep(TRIP).await;
                }
                let details = keys.into_iter().filter(|key| key != "gone").map(|key| (key.clone(), key.len()));
                Ok(details.collect::<HashMap<_, _>>())
            }
        };
        let likely = likely.iter().map(|&key| key.to_owned());
        let found = list_with_details(list(existing), likely, |key: &String| Some(key.clone()), ask).await.unwrap();
        (found, requested.into_inner().unwrap(), since.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn details_of_recorded_keys_need_one_round_trip() {
        let (found, requested, trips) = run(&["a", "bb"], &["bb", "a"]).await;
        assert_eq!(found, [("a".to_owned(), Some(1)), ("bb".to_owned(), Some(2))]);
        assert_eq!((requested, trips), (vec![vec!["a".to_owned(), "bb".to_owned()]], 1));
    }

    #[tokio::test(start_paused = true)]
    async fn details_of_new_keys_need_a_second_round_trip() {
        let (found, requested, trips) = run(&["new", "a"], &["gone", "a"]).await;
        assert_eq!(found, [("new".to_owned(), Some(3)), ("a".to_owned(), Some(1))]);
        assert_eq!((requested[1].as_slice(), requested.len(), trips), (["new".to_owned()].as_slice(), 2, 2));
        let (found, ..) = run(&["gone"], &[]).await;
        assert_eq!(found, [("gone".to_owned(), None)], "deleted between the two calls");
    }

    #[tokio::test(start_paused = true)]
    async fn details_of_unknown_keys_are_not_requested() {
        let (_, requested, _) = run(&[], &[&unknown()]).await;
        assert_eq!(requested, [Vec::<String>::new()]);
    }

    #[tokio::test]
    async fn fetch_each_requests_each_key_and_fails_with_any_failure() {
        let keys = || ["a", "bb", "gone"].map(str::to_owned).to_vec();
        let details = fetch_each(keys(), |key| async move { Ok((key != "gone").then_some(key.len())) }).await.unwrap();
        assert_eq!(details, HashMap::from([("a".to_owned(), 1), ("bb".to_owned(), 2)]));
        let refused = |key: String| async move {
            if key == "bb" { Err(Failure::new(Class::Denied, "ask", "no")) } else { Ok(Some(key)) }
        };
        assert_eq!(fetch_each(keys(), refused).await.unwrap_err().class, Class::Denied);
    }
}
