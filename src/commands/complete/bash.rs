//! Words as bash gives them to a completion: with their quotes, and broken at `=`, `:` and `@`. Pure.

/// The characters at which readline begins a new word, besides those that end one for the shell.
const BREAKS: [char; 3] = ['=', ':', '@'];

/// The words as kiln would get them, and what of the last one stays when bash replaces `replaced`, its end.
pub(super) fn unquoted(words: &[String], replaced: &str) -> (Vec<String>, String) {
    let mut whole: Vec<String> = Vec::new();
    let mut is_open = true;
    for word in words {
        let is_break = !word.is_empty() && word.chars().all(|c| BREAKS.contains(&c));
        match whole.last_mut().filter(|_| is_break || !is_open) {
            Some(last) => last.push_str(word),
            None => whole.push(word.clone()),
        }
        is_open = !is_break;
    }
    let last = whole.pop().unwrap_or_default();
    // With the cursor inside of a word bash does not say where it is.
    let kept = last.strip_suffix(replaced).unwrap_or_default();
    let mut plain: Vec<String> = whole.iter().map(|word| unquote(word)).collect();
    plain.push(unquote(&format!("{kept}{replaced}")));
    (plain, unquote(kept))
}

/// A word without its quotes and backslashes, which need not be closed. Variables and commands in it stay as they are.
fn unquote(word: &str) -> String {
    let mut text = String::new();
    let (mut quote, mut chars) = (None, word.chars());
    while let Some(char) = chars.next() {
        match (char, quote) {
            ('\'' | '"', None) => quote = Some(char),
            (char, Some(open)) if char == open => quote = None,
            ('\\', None | Some('"')) => text.extend(chars.next()),
            (char, _) => text.push(char),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_that_kiln_would_get() {
        for (words, replaced, expected, kept) in [
            (&["kiln", "bu"][..], "bu", &["kiln", "bu"][..], ""),
            (&["kiln", "build", ""], "", &["kiln", "build", ""], ""),
            (&["kiln", "build", "--image", "=", "de"], "de", &["kiln", "build", "--image=de"], "--image="),
            (&["kiln", "build", "--image", "="], "", &["kiln", "build", "--image="], "--image="),
            (&["kiln", "--image", "debian", ":"], "", &["kiln", "--image", "debian:"], "debian:"),
            (&["kiln", "--image", "debian", ":", "bo"], "bo", &["kiln", "--image", "debian:bo"], "debian:"),
            (&["kiln", "--image", "/x", "@", "y"], "@y", &["kiln", "--image", "/x@y"], "/x"),
            (&["kiln", "--image", "'/a b"], "/a b", &["kiln", "--image", "/a b"], ""),
            (&["kiln", "--image", "=", "'/a b"], "/a b", &["kiln", "--image=/a b"], "--image="),
            (&["kiln", "--image", "/a\\ b"], "/a\\ b", &["kiln", "--image", "/a b"], ""),
            (&["kiln", "a b\\", "\"x\\\"y'\"", ""], "", &["kiln", "a b", "x\"y'", ""], ""),
            // The cursor stands in the word.
            (&["kiln", "build"], "bu", &["kiln", "bu"], ""),
            (&[], "", &[""], ""),
        ] {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(unquoted(&words, replaced), (expected, kept.to_owned()), "{words:?}");
        }
    }
}
