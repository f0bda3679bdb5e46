use super::*;

fn network(refuse: &[&str]) -> Network {
    Network {
        subnet: Ipv4Addr::new(10, 213, 0, 0),
        prefix: 16,
        dns: Vec::new(),
        refuse: refuse.iter().map(|&text| text.to_owned()).collect(),
    }
}

#[test]
fn the_subnet_and_metadata_are_refused_always() {
    let text = text(&network(&[]), &[]);
    for must in ["169.254.0.0/16", "100.100.100.200/32", "10.213.0.0/16"] {
        assert!(text.contains(&format!("{must}, ")), "{must}: {text}");
    }
    assert!(text.contains("ip saddr 10.213.0.0/16 oifname != \"hoody0\" masquerade"), "{text}");
    assert!(text.contains("\tset resolvers {\n\t\ttype ipv4_addr\n\t}\n"), "{text}");
}

#[test]
fn the_old_table_goes_in_the_same_transaction() {
    let text = text(&network(&[]), &[]);
    assert!(text.starts_with("table inet hoody_code {\n}\ndelete table inet hoody_code\ntable inet hoody_code {\n"), "{text}");
    assert_eq!(text.matches('{').count(), text.matches('}').count());
}

#[test]
fn resolvers_are_asked_before_anything_is_refused() {
    let text = text(&network(&["10.0.0.0/8"]), &[Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(169, 254, 169, 254)]);
    assert!(text.contains("elements = { 10.0.0.2, 169.254.169.254 }"), "{text}");
    assert!(text.find("ip daddr @resolvers").unwrap() < text.find("ip daddr @refused").unwrap());
}

#[test]
fn networks_within_others_are_left_out() {
    let all = refused(&network(&["10.1.2.3/8", "10.0.0.0/8", "192.168.0.0/16", "192.168.7.0/24", "8.8.8.8/32"]));
    let text = elements(&all);
    assert!(text.contains("10.0.0.0/8") && text.contains("8.8.8.8/32") && text.contains("192.168.0.0/16"), "{text}");
    assert!(!text.contains("10.213.") && !text.contains("192.168.7.") && !text.contains("10.1.2.3"), "{text}");
    assert_eq!(text.matches("10.0.0.0/8").count(), 1);
    for (i, (address, _)) in all.iter().enumerate() {
        assert!(!all.iter().enumerate().any(|(j, (other, bits))| i != j && base(*address, *bits) == *other), "{text}");
    }
    assert_eq!(elements(&refused(&network(&["1.2.3.4/0"]))), "0.0.0.0/0");
}

#[test]
fn counts_outlive_a_swap_of_the_rules() {
    let text = text(&network(&[]), &[]);
    assert!(text.contains("\nflush table inet hoody_code_counts\n") && !text.contains("delete table inet hoody_code_counts"), "{text}");
    assert_eq!(text.matches("ip saddr ct count over 4096").count(), 2, "{text}");
}
