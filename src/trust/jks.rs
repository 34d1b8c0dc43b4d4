//! A Java truststore: the JKS format (OpenJDK's `JavaKeyStore.java`), with nothing but trusted certificates in it.
//!
//! Every Java reads it, whatever its `keystore.type` says, without a password; with one, it is the usual `changeit`.

use sha1::{Digest, Sha1};

const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
/// An entry that is a certificate, not a key.
const TRUSTED: u32 = 2;
const PASSWORD: &str = "changeit";
/// Sun's "whitener" between password and content.
const WHITENER: &[u8] = b"Mighty Aphrodite";

/// The file. Entries have the time 0, so that the same certificates make the same file.
pub(super) fn truststore<'c>(certificates: impl ExactSizeIterator<Item = &'c [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    let count = u32::try_from(certificates.len()).unwrap_or(u32::MAX);
    for number in [MAGIC, VERSION, count] {
        out.extend(number.to_be_bytes());
    }
    for (at, der) in certificates.enumerate() {
        out.extend(TRUSTED.to_be_bytes());
        text(&mut out, &format!("host-{at}"));
        out.extend(0u64.to_be_bytes());
        text(&mut out, "X.509");
        // A bundle of more than 4 GiB is refused long before.
        out.extend(u32::try_from(der.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend(der);
    }
    let digest = digest(&out);
    out.extend(digest);
    out
}

fn digest(content: &[u8]) -> Vec<u8> {
    let password: Vec<u8> = PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect();
    Sha1::new().chain_update(password).chain_update(WHITENER).chain_update(content).finalize().to_vec()
}

/// As `DataOutput.writeUTF` writes ASCII.
fn text(out: &mut Vec<u8>, text: &str) {
    out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_store_is_that_of_keytool() {
        // The digest is what `keytool` puts at the end of an empty JKS file with this password.
        let hex: String = truststore([].iter().map(|der: &Vec<u8>| der.as_slice()))
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(hex, "feedfeed0000000200000000e2686e45fb43dfa4d992dd41ceb6b21c6330d792");
    }

    #[test]
    fn entries_follow_one_another() {
        let store = truststore([b"DER".as_slice()].into_iter());
        let entry = b"\0\0\0\x02\0\x06host-0\0\0\0\0\0\0\0\0\0\x05X.509\0\0\0\x03DER";
        assert_eq!(&store[12..store.len() - 20], entry);
    }
}
