//! "Did you mean": the closest of the words that would have been right.

/// The candidate nearest to `word`, if it is near enough to be a slip of the fingers.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap of neighbours) from one word to the other. Words longer than 64
/// characters are never near: the cost is quadratic and the input is not ours.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (
        from.to_lowercase().chars().collect(),
        to.to_lowercase().chars().collect(),
    );
    if from.len() > 64 || to.len() > 64 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let replaced = last[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_near_and_other_words_are_not() {
        let keys = ["executor", "address", "kernel", "nic"];
        assert_eq!(nearest("exectuor", keys), Some("executor"));
        assert_eq!(nearest("adress", keys), Some("address"));
        assert_eq!(nearest("nics", keys), Some("nic"));
        assert_eq!(nearest("timeout", keys), None);
        assert_eq!(nearest(&"x".repeat(100_000), keys), None);
    }
}
