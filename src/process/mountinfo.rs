//! The kernel's list of mounts (proc_pid_mountinfo(5)).

/// The mount points of a list, in the order of mounting.
pub fn mount_points(mountinfo: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let lines = mountinfo.split(|&byte| byte == b'\n');
    lines.filter_map(|line| line.split(|&byte| byte == b' ').nth(4)).map(unescaped)
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let code = (first == b'\\').then(|| after.get(..3)).flatten();
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backslash_without_three_octal_digits_is_itself() {
        let list = b"1 0 8:1 / /a\\040\\011b\\134 rw\n2 1 8:1 / /c\\04 rw\n3 1 8:1 / /d\\999\\777 rw\n\n";
        let points: Vec<Vec<u8>> = mount_points(list).collect();
        assert_eq!(points, [&b"/a \tb\\"[..], b"/c\\04", b"/d\\999\\777"]);
    }
}
