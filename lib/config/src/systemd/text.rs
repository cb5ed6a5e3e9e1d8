//! The text of a unit file: sections of `Key=value` lines (systemd.syntax(7)).

/// Longest file.
const SIZE_LIMIT: usize = 1 << 20;

/// One assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name between brackets.
    pub section: String,
    /// What is set.
    pub key: String,
    /// To what; continued lines are one, with a space between them.
    pub value: String,
    /// Where it begins, from 1.
    pub line: usize,
}

/// A line that is none, and what is wrong with it.
pub type Problem = (usize, String);

/// Reads a file. What is no assignment is told, with its line, and left out.
pub fn entries(text: &str) -> Result<(Vec<Entry>, Vec<Problem>), String> {
    if text.len() > SIZE_LIMIT {
        return Err(format!("it has {} bytes, more than {SIZE_LIMIT}", text.len()));
    }
    if text.contains('\0') {
        return Err("it has a NUL byte".into());
    }
    let (mut entries, mut problems, mut section) = (Vec::new(), Vec::new(), String::new());
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let mut line = line.trim().to_owned();
        if is_comment(&line) {
            continue;
        }
        while let Some(begun) = line.strip_suffix('\\') {
            // Comments between continued lines are none of it.
            let next = lines.by_ref().map(|(_, next)| next).find(|next| !next.trim_start().starts_with(['#', ';']));
            line = format!("{begun} {}", next.unwrap_or_default().trim());
            if next.is_none() {
                break;
            }
        }
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, value)) = line.split_once('=').filter(|(key, _)| !key.trim().is_empty()) {
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            if section.is_empty() {
                problems.push((number + 1, format!("{key}= stands before any section")));
            } else {
                entries.push(Entry { section: section.clone(), key, value, line: number + 1 });
            }
        } else {
            problems.push((number + 1, "this is neither a section nor an assignment".into()));
        }
    }
    Ok((entries, problems))
}

fn is_comment(line: &str) -> bool {
    line.is_empty() || line.starts_with(['#', ';'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let check = |text: &str, expect: &[(&str, &str, &str, usize)], problems: &[usize]| {
            let (entries, told) = entries(text).unwrap();
            let got: Vec<(&str, &str, &str, usize)> =
                entries.iter().map(|e| (e.section.as_str(), e.key.as_str(), e.value.as_str(), e.line)).collect();
            assert_eq!(got, expect, "{text}");
            assert_eq!(told.iter().map(|(line, _)| *line).collect::<Vec<_>>(), problems, "{text}");
        };
        check("[Unit]\nDescription = a b \n", &[("Unit", "Description", "a b", 2)], &[]);
        check("# c\n; c\n\n[S]\nA=", &[("S", "A", "", 5)], &[]);
        check("[S]\nA=x \\\n  y \\\n# no\n  z\nB=1", &[("S", "A", "x  y  z", 2), ("S", "B", "1", 6)], &[]);
        check("[S]\nA=x\\", &[("S", "A", "x", 2)], &[]);
        check("A=1\n[S]\nnonsense\n=2", &[], &[1, 3, 4]);
        check("[S]\nA=b=c", &[("S", "A", "b=c", 2)], &[]);
        assert!(entries(&"x".repeat(SIZE_LIMIT + 1)).is_err());
        assert!(entries("a\0").is_err());
    }
}
