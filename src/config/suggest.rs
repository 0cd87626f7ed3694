//! Finds the name that somebody most likely meant. Knows nothing of settings.

/// Edits by which a name may differ and still be taken for a slip of the pen.
const MAX_EDITS: usize = 3;

/// The known name nearest to `given`, if one is near: a few edits away, or
/// alike in its last part (split by `separator`), which catches a right key in
/// the wrong section.
pub(super) fn nearest<'a>(
    given: &str,
    known: impl Iterator<Item = &'a str>,
    separator: &str,
) -> Option<&'a str> {
    let given = given.to_ascii_lowercase();
    known
        .map(|name| (distance(&given, &name.to_ascii_lowercase(), separator), name))
        .min()
        .filter(|(edits, _)| *edits <= MAX_EDITS)
        .map(|(_, name)| name)
}

/// Edits between the whole names, or one more than those between the last
/// parts if that is less. Short last parts must agree in all but one letter.
fn distance(given: &str, name: &str, separator: &str) -> usize {
    let last = |text: &'_ str| text.rsplit(separator).next().unwrap_or_default().to_owned();
    let whole = edits(given, name);
    let part = edits(&last(given), &last(name));
    if part <= 1 { whole.min(part + 1) } else { whole }
}

/// Levenshtein's distance: insertions, deletions and replacements of a letter.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut diagonal = line;
        row[0] = line + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 3] = ["log.level", "server.listen", "store.data_dir"];

    fn near(given: &str) -> Option<&'static str> {
        nearest(given, KEYS.into_iter(), ".")
    }

    #[test]
    fn counts_edits() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("same", "same"), 0);
    }

    #[test]
    fn finds_slips_and_wrong_sections_but_nothing_far_off() {
        assert_eq!(near("log.levle"), Some("log.level"));
        assert_eq!(near("LOG.LEVEL"), Some("log.level"));
        assert_eq!(near("listen"), Some("server.listen"));
        assert_eq!(near("server.data_dir"), Some("store.data_dir"));
        assert_eq!(near("colour.of_the_logo"), None);
    }
}
