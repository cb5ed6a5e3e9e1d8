//! Columns.

/// Rows with a head, in columns as wide as they need to be; the last column is not filled up.
pub fn render(head: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..head.len())
        .map(|at| rows.iter().map(|row| width(&row[at])).chain([head[at].len()]).max().unwrap_or(0))
        .collect();
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    [&head].into_iter().chain(rows).map(|row| line(row, &widths)).collect()
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    let line = cells.collect::<Vec<_>>().join("  ");
    format!("{}\n", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns() {
        let rows = [vec!["größer".to_owned(), "1".to_owned()], vec!["b".to_owned(), String::new()]];
        assert_eq!(render(&["NAME", "N"], &rows), "NAME    N\ngrößer  1\nb\n");
    }
}
