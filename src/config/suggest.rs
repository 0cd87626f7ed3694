//! Finds the name that somebody most likely meant. Knows nothing of settings.

/// Edits by which a name may differ and still be taken for a slip of the pen.
const MAX_EDITS: usize = 3;

/// The known name nearest to `given`, if one is near: a few edits away, or
/// alike in its last part (split by `separator`), which catches a right key in
/// the wrong section. Capitals make no difference.
pub(super) fn nearest<'a>(
    given: &str,
    known: impl Iterator<Item = &'a str>,
    separator: &str,
) -> Option<&'a str> {
    known.filter_map(|name| Some((distance(given, name, separator)?, name))).min().map(|(_, name)| name)
}

/// Edits between the whole names, or one more than those between the last
/// parts if that is less. Short last parts must agree in all but one letter.
/// `None` when that is more than [`MAX_EDITS`].
fn distance(given: &str, name: &str, separator: &str) -> Option<usize> {
    fn last<'a>(text: &'a str, separator: &str) -> &'a str {
        text.rsplit(separator).next().unwrap_or_default()
    }
    let whole = edits(given, name, MAX_EDITS);
    let part = edits(last(given, separator), last(name, separator), 1);
    whole.into_iter().chain(part.map(|edits| edits + 1)).min()
}

/// Levenshtein's distance: insertions, deletions and replacements of a byte,
/// since names are ASCII. `None` when that is more than `most`, which is found
/// early, so that many long names that nobody knows cost little.
fn edits(from: &str, to: &str, most: usize) -> Option<usize> {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    if from.len().abs_diff(to.len()) > most {
        return None;
    }
    let is_same = |(one, other): &(&u8, &u8)| one.eq_ignore_ascii_case(other);
    let start = from.iter().zip(to).take_while(is_same).count();
    let (from, to) = (&from[start..], &to[start..]);
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.iter().enumerate() {
        let mut diagonal = line;
        row[0] = line + 1;
        let mut least = row[0];
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(!letter.eq_ignore_ascii_case(other));
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
            least = least.min(row[column + 1]);
        }
        // No later row has less.
        if least > most {
            return None;
        }
    }
    Some(row[to.len()]).filter(|edits| *edits <= most)
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
        assert_eq!(edits("kitten", "sitting", 3), Some(3));
        assert_eq!(edits("kitten", "sitting", 2), None);
        assert_eq!(edits("", "abc", 3), Some(3));
        assert_eq!(edits("same", "SAME", 0), Some(0));
        assert_eq!(edits("listen", "lsiten", 2), Some(2));
        assert_eq!(edits("a name", "another", 3), None);
        assert_eq!(edits("listened", "listen", 1), None);
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
