//! Formatting of numbers and tables.

use crate::bench::stats::Spread;

/// Formats a number with three significant digits.
pub fn number(value: f64) -> String {
    match value {
        _ if value >= 99.95 => format!("{value:.0}"),
        _ if value >= 9.995 => format!("{value:.1}"),
        _ if value >= 0.9995 || value == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Formats a median, with minimum and maximum if they differ.
pub fn spread(spread: &Spread) -> String {
    let [median, min, max] = [spread.median, spread.min, spread.max].map(number);
    if min == max { median } else { format!("{median} ({min}–{max})") }
}

/// Formats the median of counts, with minimum and maximum if they differ.
pub fn count(spread: &Spread) -> String {
    let Spread { median, min, max } = spread;
    if (max - min).abs() < 0.5 { format!("{median:.0}") } else { format!("{median:.0} ({min:.0}–{max:.0})") }
}

/// Formats the ratio of two values with a multiplication sign.
pub fn times(more: f64, less: f64) -> String {
    if less > 0.0 { format!("{}×", number(more / less)) } else { "–".to_owned() }
}

/// Formats a Markdown table with aligned columns; the first row is the header.
pub fn table(rows: &[Vec<String>]) -> String {
    let Some((head, body)) = rows.split_first() else {
        return String::new();
    };
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..head.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("| {} |", cells.join(" | "))
    };
    let rule = widths.iter().map(|width| format!("{}|", "-".repeat(width + 2))).collect::<String>();
    [line(head), format!("|{rule}")].into_iter().chain(body.iter().map(line)).collect::<Vec<_>>().join("\n")
}

/// Returns a row of a table.
pub fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// Removes the padding of the columns, for tests.
#[cfg(test)]
pub fn without_padding(text: &str) -> String {
    let squeeze = |line: &str| line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    text.lines().map(squeeze).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_significant_digits() {
        let all = [0.0, 0.0123, 0.5, 0.9999, 9.99, 9.999, 12.34, 99.94, 99.96, 791.4].map(number);
        assert_eq!(all, ["0.00", "0.012", "0.500", "1.00", "9.99", "10.0", "12.3", "99.9", "100", "791"]);
    }

    #[test]
    fn constant_values_show_no_spread() {
        assert_eq!(count(&Spread { median: 65.0, min: 65.0, max: 65.0 }), "65");
        assert_eq!(count(&Spread { median: 65.0, min: 60.0, max: 70.0 }), "65 (60–70)");
        assert_eq!(spread(&Spread { median: 1.5, min: 1.0, max: 20.0 }), "1.50 (1.00–20.0)");
        assert_eq!(spread(&Spread { median: 1.5, min: 1.5, max: 1.5 }), "1.50");
        assert_eq!((times(10.0, 4.0), times(1.0, 0.0)), ("2.50×".into(), "–".into()));
    }

    #[test]
    fn table_columns_are_aligned() {
        let expected = "| a   | b |\n|-----|---|\n| 1 × | 2 |";
        assert_eq!(table(&[row(["a", "b"]), row(["1 ×", "2"])]), expected);
        assert_eq!(table(&[]), "");
    }
}
