use std::net::Ipv4Addr;

use super::*;

const STUB: &str = "# managed\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch corp.example\n";

fn network(dns: &[&str]) -> Network {
    let dns = dns.iter().map(|text| text.parse().expect("an address")).collect();
    Network { subnet: Ipv4Addr::new(10, 213, 0, 0), prefix: 16, dns, refuse: Vec::new() }
}

#[test]
fn the_configuration_wins_and_the_search_list_stays() {
    let choice = choose(&network(&["9.9.9.9", "2620:fe::fe", "127.0.0.1"]), STUB, "nameserver 10.0.0.2\n");
    assert_eq!(choice.text(), "# Written by hoody-code from [network] dns.\nnameserver 9.9.9.9\noptions edns0\nsearch corp.example\n");
}

#[test]
fn the_hosts_resolvers_are_taken_without_loopback_ones() {
    let host = "nameserver ::1\nnameserver 127.0.0.1\nnameserver 10.0.0.2 \nnameserver fe80::1%eth0\nsearch a.example b.example\n";
    let choice = choose(&network(&[]), host, "nameserver 10.9.9.9\n");
    assert_eq!(choice.text(), "# Written by hoody-code from /etc/resolv.conf.\nnameserver 10.0.0.2\nsearch a.example b.example\n");
}

#[test]
fn behind_a_stub_the_servers_it_asks_are_taken() {
    let choice = choose(&network(&[]), STUB, "nameserver 10.0.0.2\nnameserver 10.0.0.3\nsearch .\n");
    assert_eq!(choice.source, RESOLVED);
    assert!(choice.text().ends_with("nameserver 10.0.0.2\nnameserver 10.0.0.3\nsearch .\n"));
}

#[test]
fn nothing_usable_is_said() {
    for (host, resolved) in [(STUB, ""), ("", ""), ("nameserver 2001:db8::1\n", "nameserver 127.0.0.1\n"), ("nameserver nonsense\n", "")] {
        let choice = choose(&network(&[]), host, resolved);
        assert!(choice.servers.is_empty() && choice.problem.is_some());
        assert!(choice.text().contains("# WARNING") && !choice.text().contains("\nnameserver"), "{}", choice.text());
    }
    assert!(choose(&network(&["::1"]), "nameserver 10.0.0.2\n", "").problem.is_some());
}

#[test]
fn three_at_most() {
    let host = "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n";
    assert_eq!(choose(&network(&[]), host, "").servers.len(), 3);
}
