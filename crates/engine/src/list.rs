//! What is listed, with what has to be asked about each of it.

use crate::failure::Failure;
use crate::unknown::is_unknown;
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use futures_util::future::try_join;
use futures_util::stream;
use std::collections::{BTreeSet, HashMap};

/// How many are asked about at a time, where one call is about one of them.
const AT_A_TIME: usize = 8;

/// What `list` finds, each with what `ask` tells about its key; nothing where `ask` does not tell.
///
/// The `likely` keys, those that are remembered, are asked about while the list is on its way: where all is as it was, this is
/// one round trip and not two. One of them that is not there any more must be no error of `ask`, and costs nothing else.
///
/// # Errors
/// What `list` or `ask` fails with.
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
    let (found, mut told) = try_join(list, ask(likely.iter().cloned().collect())).await?;
    let others: BTreeSet<String> = found.iter().filter_map(&key).filter(|key| !likely.contains(key)).collect();
    if !others.is_empty() {
        told.extend(ask(others.into_iter().collect()).await?);
    }
    let with = |one: T| {
        let told = key(&one).and_then(|key| told.remove(&key));
        (one, told)
    };
    Ok(found.into_iter().map(with).collect())
}

/// What `ask` tells about each of `keys`, some at a time; what it tells nothing about is left out.
///
/// # Errors
/// What `ask` fails with.
pub async fn fetch_each<V, A, F>(keys: Vec<String>, ask: A) -> Result<HashMap<String, V>, Failure>
where
    A: Fn(String) -> F,
    F: Future<Output = Result<Option<V>, Failure>>,
{
    let asked = keys.into_iter().map(|key| {
        let answer = ask(key.clone());
        async move { Ok((key, answer.await?)) }
    });
    let told: Vec<(String, Option<V>)> = stream::iter(asked).buffer_unordered(AT_A_TIME).try_collect().await?;
    Ok(told.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
}

#[cfg(test)]
mod tests {
    use super::{fetch_each, list_with_details};
    use crate::failure::{Class, Failure};
    use crate::unknown::unknown;
    use std::collections::HashMap;
    use std::sync::Mutex;
    use std::time::Duration;
    use tokio::time::{Instant, sleep};

    const TRIP: Duration = Duration::from_secs(1);

    async fn list(keys: &[&str]) -> Result<Vec<String>, Failure> {
        sleep(TRIP).await;
        Ok(keys.iter().map(|&key| key.to_owned()).collect())
    }

    /// What is listed with what is told of it, what was asked in which call, and the round trips that it took.
    async fn run(there: &[&str], likely: &[&str]) -> (Vec<(String, Option<usize>)>, Vec<Vec<String>>, u64) {
        let (asked, since) = (Mutex::new(Vec::new()), Instant::now());
        let ask = |keys: Vec<String>| {
            asked.lock().unwrap().push(keys.clone());
            async move {
                if !keys.is_empty() {
                    sleep(TRIP).await;
                }
                let told = keys.into_iter().filter(|key| key != "gone").map(|key| (key.clone(), key.len()));
                Ok(told.collect::<HashMap<_, _>>())
            }
        };
        let likely = likely.iter().map(|&key| key.to_owned());
        let found = list_with_details(list(there), likely, |key: &String| Some(key.clone()), ask).await.unwrap();
        (found, asked.into_inner().unwrap(), since.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn details_of_recorded_keys_need_one_round_trip() {
        let (found, asked, trips) = run(&["a", "bb"], &["bb", "a"]).await;
        assert_eq!(found, [("a".to_owned(), Some(1)), ("bb".to_owned(), Some(2))]);
        assert_eq!((asked, trips), (vec![vec!["a".to_owned(), "bb".to_owned()]], 1));
    }

    #[tokio::test(start_paused = true)]
    async fn details_of_new_keys_need_a_second_round_trip() {
        let (found, asked, trips) = run(&["new", "a"], &["gone", "a"]).await;
        assert_eq!(found, [("new".to_owned(), Some(3)), ("a".to_owned(), Some(1))]);
        assert_eq!((asked[1].as_slice(), asked.len(), trips), (["new".to_owned()].as_slice(), 2, 2));
        let (found, ..) = run(&["gone"], &[]).await;
        assert_eq!(found, [("gone".to_owned(), None)], "it has gone between the list and the question");
    }

    #[tokio::test(start_paused = true)]
    async fn details_of_unknown_keys_are_not_requested() {
        let (_, asked, _) = run(&[], &[&unknown()]).await;
        assert_eq!(asked, [Vec::<String>::new()]);
    }

    #[tokio::test]
    async fn fetch_each_requests_each_key_and_fails_with_any_failure() {
        let keys = || ["a", "bb", "gone"].map(str::to_owned).to_vec();
        let told = fetch_each(keys(), |key| async move { Ok((key != "gone").then_some(key.len())) }).await.unwrap();
        assert_eq!(told, HashMap::from([("a".to_owned(), 1), ("bb".to_owned(), 2)]));
        let refused = |key: String| async move {
            if key == "bb" { Err(Failure::new(Class::Denied, "ask", "no")) } else { Ok(Some(key)) }
        };
        assert_eq!(fetch_each(keys(), refused).await.unwrap_err().class, Class::Denied);
    }
}
