//! How many connections each address has.
//!
//! Must not know connections beyond where they come from.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// The connections that are open, by where they come from.
pub(super) struct Addresses {
    /// The most of one address; `None` for no bound.
    most: Option<usize>,
    open: Mutex<BTreeMap<IpAddr, usize>>,
}

/// A connection that counts while this lives.
pub(super) struct Counted(Option<(Arc<Addresses>, IpAddr)>);

impl Addresses {
    pub(super) fn new(most: Option<usize>) -> Self {
        Self { most, open: Mutex::default() }
    }

    /// Counts a connection, unless its address has enough.
    pub(super) fn count(self: &Arc<Self>, address: IpAddr) -> Option<Counted> {
        let Some(most) = self.most else { return Some(Counted(None)) };
        let network = network(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(network).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Counted(Some((self.clone(), network))))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some((addresses, network)) = self.0.take() else { return };
        let mut open = addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&network);
            }
        }
    }
}

/// Whoever has one address of version 6 has all that share its first 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_bound() {
        let addresses = Arc::new(Addresses::new(Some(2)));
        let count = |text: &str| addresses.count(text.parse().unwrap());
        let (first, second) = (count("10.0.0.1"), count("::ffff:10.0.0.1"));
        assert!(first.is_some() && second.is_some());
        assert!(count("10.0.0.1").is_none() && count("10.0.0.2").is_some());
        drop(second);
        let _again = count("10.0.0.1").unwrap();
        assert!(count("10.0.0.1").is_none());
        let _six = (count("2001:db8::1").unwrap(), count("2001:db8::2").unwrap());
        assert!(count("2001:db8::3").is_none() && count("2001:db8:0:1::1").is_some());
        drop(first);
        assert_eq!(addresses.open.lock().unwrap().len(), 2);
    }

    #[test]
    fn without_a_bound_nothing_is_counted() {
        let addresses = Arc::new(Addresses::new(None));
        let _many: Vec<_> =
            (0..1000).map(|_| addresses.count([10, 0, 0, 1].into()).unwrap()).collect();
        assert!(addresses.open.lock().unwrap().is_empty());
    }
}
