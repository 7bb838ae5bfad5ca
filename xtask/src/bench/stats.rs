//! Median and range.

/// Median of several values, with their range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The median; the mean of the two middle values if their number is even.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

/// Returns the median and range of the values; `None` without values.
pub fn spread(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let upper = sorted.len() / 2;
    let lower = (sorted.len() - 1) / 2;
    Some(Spread { median: f64::midpoint(sorted[lower], sorted[upper]), min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_even_and_odd_counts() {
        assert_eq!(spread([]), None);
        assert_eq!(spread([2.0]), Some(Spread { median: 2.0, min: 2.0, max: 2.0 }));
        assert_eq!(spread([9.0, 1.0, 4.0]), Some(Spread { median: 4.0, min: 1.0, max: 9.0 }));
        assert_eq!(spread([8.0, 1.0, 4.0, 2.0]), Some(Spread { median: 3.0, min: 1.0, max: 8.0 }));
    }
}
