//! Tables for people. What is shown may come from hostile mail, so control characters are taken out.

use lockstep_model::text::is_odd;

/// Longest cell, in characters; longer ones are cut.
const MAX_CELL: usize = 60;

/// Rows under a heading, columns aligned.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = heading.iter().map(|text| (*text).to_owned()).collect();
    let all: Vec<Vec<String>> =
        std::iter::once(&heading).chain(rows).map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let columns = heading.len();
    let widths: Vec<usize> = (0..columns)
        .map(|column| all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &all {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let padding = width - cell.chars().count();
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', padding + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// One line without control characters, cut at [`MAX_CELL`].
fn printable(text: &str) -> String {
    let mut shown: String = harmless(text).chars().take(MAX_CELL + 1).collect();
    if shown.chars().count() > MAX_CELL {
        shown = shown.chars().take(MAX_CELL - 1).collect();
        shown.push('…');
    }
    shown
}

/// Without characters that steer a terminal or turn the direction of writing.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if is_odd(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_steers_the_terminal() {
        let rows = vec![vec!["1".to_owned(), "a\u{1b}[31m".to_owned()], vec!["22".to_owned(), "é".repeat(70)]];
        let text = table(&["id", "name"], &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "id  name");
        assert_eq!(lines[1], "1   a [31m");
        assert_eq!(lines[2].chars().count(), 4 + 60);
        assert!(!text.contains('\u{1b}'));
    }
}
