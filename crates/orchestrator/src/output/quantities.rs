//! Quantities with their units: counts, durations, ages.

/// Formats a count with its noun: `1 service`, `3 services`.
pub fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// Formats milliseconds: `0.4 s`, `12 s`, `2 min 5 s`.
pub fn duration(millis: u64) -> String {
    match millis {
        0..10_000 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        10_000..60_000 => format!("{} s", millis / 1000),
        _ => format!("{} min {} s", millis / 60_000, millis / 1000 % 60),
    }
}

/// Formats an age with a single unit: `40 s`, `12 min`, `5 h`, `3 days`.
pub fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::{age, duration};

    #[test]
    fn age_has_one_unit() {
        let texts: Vec<String> = [0, 119, 120, 7_199, 7_200, 172_800].into_iter().map(age).collect();
        assert_eq!(texts, ["0 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
    }

    #[test]
    fn duration_has_at_most_two_units() {
        let texts: Vec<String> = [0, 449, 9_999, 10_000, 59_999, 60_000, 125_000].into_iter().map(duration).collect();
        assert_eq!(texts, ["0.0 s", "0.4 s", "9.9 s", "10 s", "59 s", "1 min 0 s", "2 min 5 s"]);
    }
}
