//! Prints words in hexadecimal, and how long each is.

cfg_if::cfg_if! {
    if #[cfg(unix)] {
        const END: &str = "\n";
    } else {
        const END: &str = "\r\n";
    }
}

fn main() {
    for word in std::env::args().skip(1) {
        print!("{} {}{END}", itoa::Buffer::new().format(word.len()), hex::encode(&word));
    }
}
