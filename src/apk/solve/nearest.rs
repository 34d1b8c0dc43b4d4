//! The names that a name which does not exist was probably meant to be.

/// The most names that are shown.
const SHOWN: usize = 3;
/// The most letters that a name may differ in.
const MAX_DISTANCE: usize = 2;
/// The longest name that is compared: the names of packages are shorter.
const MAX_LENGTH: usize = 64;

/// The names nearest to `name`: those with few other letters, then those that begin with it.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    if name.is_empty() || name.len() > MAX_LENGTH {
        return Vec::new();
    }
    let longer = |other: &str| other.strip_prefix(name).is_some_and(|rest| rest.starts_with(['-', '.', '_']));
    let mut found: Vec<(usize, &str)> = names
        .filter_map(|other| match distance(name, other) {
            Some(distance) => Some((distance, other)),
            None => longer(other).then_some((MAX_DISTANCE + 1, other)),
        })
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, name)| name.to_owned()).take(SHOWN).collect()
}

/// The number of letters to add, remove or replace, if it is small against the length of the name.
fn distance(a: &str, b: &str) -> Option<usize> {
    let limit = MAX_DISTANCE.min(a.len() / 3);
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut next = vec![i + 1];
        for ((y, above), pair) in b.bytes().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or_default();
            next.push((left + 1).min(above + 1).min(pair + usize::from(x != y)));
        }
        row = next;
    }
    row.last().copied().filter(|distance| *distance <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_and_longer_names_are_found() {
        let names = [
            "busybox",
            "busybox-extras",
            "bash",
            "bash-doc",
            "dash",
            "so:libz.so.1",
            "zlib",
            "zlib-dev",
            "bizybux",
        ];
        let near = |name: &str| nearest(name, names.into_iter());
        assert_eq!(near("busibox"), ["busybox"]);
        assert_eq!(near("bush"), ["bash"]);
        assert_eq!(near("zlib1"), ["zlib"]);
        assert_eq!(near("bash"), ["bash", "dash", "bash-doc"]);
        assert_eq!(near("xyz"), Vec::<String>::new());
        assert_eq!(near(""), Vec::<String>::new());
        assert_eq!(near(&"x".repeat(1000)), Vec::<String>::new());
        assert_eq!(near("zlîb-dev"), ["zlib-dev"]);
    }
}
