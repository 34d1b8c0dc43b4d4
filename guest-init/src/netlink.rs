//! The few rtnetlink messages (rtnetlink(7)) that a static network needs, as bytes. Pure: [`network`](crate::network)
//! sends them.

use nix::libc;

/// Messages and attributes begin at multiples of this.
const ALIGNMENT: usize = 4;

/// A request to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// Set a link up, with this MTU (0: as it is).
    LinkUp {
        /// Interface index.
        index: u32,
        /// Bytes.
        mtu: u32,
    },
    /// Give a link an address.
    Address {
        /// Interface index.
        index: u32,
        /// The address.
        address: [u8; 4],
        /// The length of its network's prefix.
        prefix: u8,
    },
    /// The default route.
    DefaultRoute {
        /// Next hop.
        gateway: [u8; 4],
    },
    /// An address that must not be reached.
    Prohibit {
        /// Which.
        address: [u8; 4],
    },
}

/// The request as one netlink message that asks to be acknowledged.
pub(crate) fn message(request: Request) -> Vec<u8> {
    match request {
        Request::LinkUp { index, mtu } => {
            let up = libc::IFF_UP as u32;
            let mut body = vec![libc::AF_UNSPEC as u8, 0, 0, 0];
            [index, up, up].iter().for_each(|field| body.extend(field.to_ne_bytes()));
            if mtu != 0 {
                attribute(&mut body, libc::IFLA_MTU, &mtu.to_ne_bytes());
            }
            framed(libc::RTM_NEWLINK, 0, &body)
        }
        Request::Address { index, address, prefix } => {
            let mut body = vec![libc::AF_INET as u8, prefix, 0, libc::RT_SCOPE_UNIVERSE];
            body.extend(index.to_ne_bytes());
            attribute(&mut body, libc::IFA_LOCAL, &address);
            attribute(&mut body, libc::IFA_ADDRESS, &address);
            framed(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &body)
        }
        Request::DefaultRoute { gateway } => {
            let mut body = route(0, libc::RTN_UNICAST);
            attribute(&mut body, libc::RTA_GATEWAY, &gateway);
            framed(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &body)
        }
        Request::Prohibit { address } => {
            let mut body = route(32, libc::RTN_PROHIBIT);
            attribute(&mut body, libc::RTA_DST, &address);
            framed(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &body)
        }
    }
}

/// A struct rtmsg of the main table.
fn route(prefix: u8, kind: u8) -> Vec<u8> {
    let scope = libc::RT_SCOPE_UNIVERSE;
    vec![libc::AF_INET as u8, prefix, 0, 0, libc::RT_TABLE_MAIN, libc::RTPROT_BOOT, scope, kind, 0, 0, 0, 0]
}

/// A struct rtattr and its value. All of ours are four bytes long, so nothing needs padding.
fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8; ALIGNMENT]) {
    let length = (2 * size_of::<u16>() + value.len()) as u16;
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
}

/// The body behind a struct nlmsghdr.
fn framed(kind: u16, flags: libc::c_int, body: &[u8]) -> Vec<u8> {
    let length = (size_of::<libc::nlmsghdr>() + body.len()) as u32;
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags) as u16;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Sequence number and sender: one request is under way at a time.
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// The error number of an acknowledgement (NLMSG_ERROR; 0 for success); `None` for any other message.
pub(crate) fn acknowledgement(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let error = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (libc::c_int::from(kind) == libc::NLMSG_ERROR).then_some(-error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_encoded_as_the_kernel_reads_it() {
        let bytes = message(Request::Address { index: 2, address: [10, 0, 2, 15], prefix: 24 });
        assert_eq!(bytes.len(), 40);
        assert_eq!(bytes[..4], 40u32.to_ne_bytes());
        assert_eq!(bytes[4..6], 20u16.to_ne_bytes(), "RTM_NEWADDR");
        assert_eq!(bytes[16..24], [2, 24, 0, 0, 2, 0, 0, 0]);
        assert_eq!(bytes[24..32], [8, 0, 2, 0, 10, 0, 2, 15], "IFA_LOCAL");
    }

    #[test]
    fn an_mtu_of_zero_is_left_to_the_driver() {
        assert_eq!(message(Request::LinkUp { index: 1, mtu: 0 }).len(), 32);
        assert_eq!(message(Request::LinkUp { index: 1, mtu: 1400 }).len(), 40);
    }

    #[test]
    fn an_acknowledgement_carries_an_error_number() {
        let mut answer = vec![0; 36];
        answer[4] = 2;
        assert_eq!(acknowledgement(&answer), Some(0));
        answer[16..20].copy_from_slice(&(-17i32).to_ne_bytes());
        assert_eq!(acknowledgement(&answer), Some(17));
        assert_eq!(acknowledgement(&answer[..10]), None);
    }
}
