use std::net::Ipv6Addr;

use super::*;

fn v4(last: u8) -> Client {
    Client::of(Some(IpAddr::from([192, 0, 2, last])))
}

/// The nth client of a botnet.
fn bot(n: u32) -> Client {
    Client::V4((0x0a00_0000 + n).to_be_bytes())
}

/// What the password called `text` is known by.
fn id(text: &str) -> Epoch {
    let mut epoch = [0; 16];
    epoch[..text.len()].copy_from_slice(text.as_bytes());
    epoch
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Wrong passwords until there is no attempt left: how many, and how long the wait is then.
fn exhaust(throttle: &mut Throttle, client: Client, password: &str, now: Duration) -> (u32, Duration) {
    for n in 0.. {
        if let Err(wait) = throttle.take(client, None, id(password), now) {
            return (n, wait);
        }
    }
    unreachable!()
}

#[test]
fn a_client_slows_only_itself() {
    let mut throttle = Throttle::new();
    assert_eq!(exhaust(&mut throttle, v4(1), "alice", at(100)), (10, at(60)));
    assert_eq!(exhaust(&mut throttle, v4(1), "bob", at(100)), (0, at(60)), "nor can it go on with another password");
    assert!(throttle.take(v4(2), None, id("alice"), at(100)).is_ok());
    assert_eq!(exhaust(&mut throttle, v4(1), "alice", at(159)), (0, at(1)));
    assert_eq!(exhaust(&mut throttle, v4(1), "alice", at(160)), (1, at(60)), "one is back");
    assert_eq!(exhaust(&mut throttle, v4(1), "alice", at(160 + 3600)), (10, at(60)), "all are back, and no more");
}

#[test]
fn a_success_costs_nothing() {
    let mut throttle = Throttle::new();
    for _ in 0..1000 {
        let ticket = throttle.take(v4(1), None, id("alice"), at(5)).unwrap();
        throttle.give_back(&ticket);
    }
    assert_eq!(exhaust(&mut throttle, v4(1), "alice", at(5)).0, 10);
}

#[test]
fn a_network_is_one_client() {
    let v6 = |text: &str| Client::of(Some(IpAddr::V6(text.parse::<Ipv6Addr>().unwrap())));
    assert_eq!(v6("2001:db8:1:2::1"), v6("2001:db8:1:2:ffff:ffff:ffff:ffff"));
    assert_ne!(v6("2001:db8:1:2::1"), v6("2001:db8:1:3::1"));
    assert_eq!(v6("::ffff:192.0.2.1"), v4(1), "an IPv4 address in IPv6 clothes");
}

#[test]
fn who_has_many_networks_is_a_stranger_soon_in_all_of_them() {
    let mut throttle = Throttle::new();
    let v6 = |site: u16, network: u16| Client::of(Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, site, network, 0, 0, 0, 1))));
    let tries: u32 = (0..1000).map(|n| exhaust(&mut throttle, v6(1, n), "alice", at(100)).0).sum();
    assert_eq!(tries, 3 + 30, "the first tries are those of all its networks together");
    assert!(throttle.take(v6(2, 0), None, id("alice"), at(100)).is_ok(), "others are not concerned");
    // What has not failed costs nothing: a site full of people who know their passwords.
    for n in 0..1000 {
        let ticket = throttle.take(v6(3, n), None, id("bob"), at(100)).unwrap();
        throttle.give_back(&ticket);
    }
    assert_eq!(throttle.sites.debts(&[0x20, 1, 0xd, 0xb8, 0, 3], at(100)), 0);
}

#[test]
fn a_botnet_gets_a_few_tries_each_and_then_what_one_password_allows() {
    let mut throttle = Throttle::new();
    let mut tries = |from: u32, now: Duration| (from..from + 1000).map(|n| exhaust(&mut throttle, bot(n), "alice", now).0).sum::<u32>();
    let first = tries(0, at(1000));
    assert_eq!(first, 3 * 1000 + 30);
    // The same thousand an hour later: their own attempts are back.
    assert_eq!(tries(0, at(1000 + 3600)), 3 * 1000 + 30);
    // The owner comes from an address that has not failed: let in at once, in the middle of it.
    assert!(throttle.take(v4(1), None, id("alice"), at(1000 + 3600)).is_ok());
    assert!(throttle.take(bot(5000), None, id("bob"), at(1000 + 3600)).is_ok(), "other passwords are not concerned");
}

#[test]
fn a_known_browser_is_not_concerned_by_strangers() {
    let mut throttle = Throttle::new();
    let device = Some([7; 16]);
    for n in 0..2000 {
        exhaust(&mut throttle, bot(n), "alice", at(50));
    }
    exhaust(&mut throttle, v4(1), "alice", at(50));
    // Even from the very address that is exhausted: a stranger behind the same router.
    let ticket = throttle.take(v4(1), device, id("alice"), at(50)).unwrap();
    throttle.give_back(&ticket);
    // It has a limit of its own: somebody may have found the laptop.
    let tries = (0..100).filter(|_| throttle.take(v4(1), device, id("alice"), at(50)).is_ok()).count();
    assert_eq!(tries, 10);
}

#[test]
fn what_is_remembered_is_bounded_and_the_latest_stays() {
    let mut throttle = Throttle::new();
    exhaust(&mut throttle, v4(1), "alice", at(10));
    for n in 0..200_000 {
        let _ = throttle.take(bot(n), None, id("alice"), at(10));
        if n % 10_000 == 0 {
            // Somebody who goes on trying is not forgotten for all the others: being refused keeps nothing alive by itself, though.
            let _ = throttle.take(bot(0), None, id("alice"), at(10));
        }
    }
    let size = throttle.clients.young.len() + throttle.clients.old.len();
    assert!(size <= 2 * REMEMBERED, "{size}");
    assert_eq!(throttle.clients.debts(&bot(199_999), at(10)), 1);
}

#[test]
fn a_clock_that_stands_still_or_runs_far_ahead_breaks_nothing() {
    let mut throttle = Throttle::new();
    assert_eq!(exhaust(&mut throttle, v4(1), "alice", Duration::ZERO).0, 10);
    assert_eq!(exhaust(&mut throttle, v4(1), "alice", Duration::from_secs(u64::from(u32::MAX))).0, 10);
}
