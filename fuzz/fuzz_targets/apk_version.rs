//! Any three texts as versions and constraints: their order is total, and constraints agree with it.
#![no_main]

use std::cmp::Ordering;

use kiln::apk::{Constraint, Operator, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str, &str)| {
    for text in [texts.0, texts.1, texts.2] {
        let constraint = Constraint::parse(text);
        assert!(text.starts_with(constraint.name));
        assert_eq!(Constraint::name_of(text), constraint.name);
    }
    let parsed = [texts.0, texts.1, texts.2].map(Version::parse);
    let [Some(a), Some(b), Some(c)] = parsed else { return };
    assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
    assert_eq!(a.cmp(&b) == Ordering::Equal, a == b);
    if a <= b && b <= c {
        assert!(a <= c);
    }
    assert!(a.starts_with(&a));
    for (operator, expected) in [(">", a > b), ("<", a < b), ("=", a == b), (">=", a >= b), ("<=", a <= b)] {
        let text = format!("x{operator}{}", texts.1);
        assert_eq!(Constraint::parse(&text).is_satisfied_by(&a), expected, "{} {text}", texts.0);
    }
    assert!(Operator::Any.holds(&a, &b));
});
