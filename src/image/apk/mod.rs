//! Roots from apk repositories.
//!
//! ```text
//! lines, keys --repository, index--> verified indexes --crate::apk's resolver--> packages in order
//! packages --fetch--> PackageStore --compose--> Tree --erofs--> image
//! ```
//!
//! Nothing of a package is unpacked on the host's file system: its data lie in the store as one tar, and the image is
//! composed of ranges of such tars. An index is trusted by its signature, a control section by the index, the data by the
//! control section, and each file by its own checksum.

mod access;
mod care;
mod compose;
mod downloads;
mod fault;
mod fetch;
mod http;
mod index;
mod network;
mod one;
mod package;
mod progress;
mod redirect;
mod remote;
mod repository;
mod resolve;
#[cfg(test)]
mod server_tests;
mod store;
#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;
mod url;
mod workers;

pub(super) use self::{access::Access, package::shown};
pub use self::{care::PackageUsage, downloads::Downloads, one::image_of_package, resolve::ApkRequest};
