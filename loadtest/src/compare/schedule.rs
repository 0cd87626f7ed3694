//! In which order blocks run, so that a drift of the machine hits all subjects alike.

/// The order of the subjects in each round: every other round is the one before reversed (ABBA), and with more than
/// two subjects each pair of rounds begins one subject later, so that none is always in the middle.
pub(super) fn rounds(subjects: usize, rounds: usize) -> Vec<Vec<usize>> {
    (0..rounds).map(|round| order(subjects, round)).collect()
}

fn order(subjects: usize, round: usize) -> Vec<usize> {
    let first = if subjects > 2 { round / 2 % subjects } else { 0 };
    let mut order: Vec<usize> = (0..subjects).map(|step| (first + step) % subjects).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_subjects_run_abba() {
        assert_eq!(rounds(2, 4), [[0, 1], [1, 0], [0, 1], [1, 0]]);
    }

    #[test]
    fn more_subjects_turn_and_reverse() {
        assert_eq!(rounds(3, 4), [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]]);
    }

    /// With n subjects and 2n rounds each is at each place equally often.
    #[test]
    fn every_subject_is_at_every_place_equally_often() {
        for count in 3..6 {
            let mut places = vec![vec![0; count]; count];
            for order in rounds(count, 2 * count) {
                order.iter().enumerate().for_each(|(place, &subject)| places[subject][place] += 1);
            }
            assert_eq!(places, vec![vec![2; count]; count]);
        }
    }

    #[test]
    fn one_subject_is_always_first() {
        assert_eq!(rounds(1, 3), [[0], [0], [0]]);
    }
}
