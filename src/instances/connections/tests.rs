use super::*;

const AFTER: Duration = Duration::from_secs(180);

fn id() -> InstanceId {
    "default".parse().unwrap()
}

fn token(n: usize) -> ReconnectionToken {
    format!("0fd2a1b4-{n}").parse().unwrap()
}

fn due(table: &mut Connections, now: Instant) -> Vec<Due> {
    let mut due = table.due(now, AFTER, |_| Some(1));
    due.sort_by(|a, b| a.token.cmp(&b.token));
    due
}

fn of(n: usize, part: Part, since: Instant) -> Due {
    Due { id: id(), token: token(n), part, since: Some(since) }
}

#[test]
fn what_was_left_is_due_after_a_while() {
    let (mut table, now) = (Connections::default(), Instant::now());
    table.opened(&id(), 1, &token(1));
    table.opened(&id(), 1, &token(2));
    assert_eq!(due(&mut table, now + AFTER * 100), [], "an open one is never due");
    table.closed(&id(), 1, &token(1), now);
    assert_eq!(due(&mut table, now + AFTER / 2), []);
    assert_eq!(due(&mut table, now + AFTER), [of(1, Part::ExtensionHost, now)]);
    assert!(table.is_gone(&of(1, Part::ExtensionHost, now)));
    table.ended(&of(1, Part::ExtensionHost, now), true);
    assert_eq!(due(&mut table, now + AFTER * 100), [], "ended is ended");
}

#[test]
fn who_comes_back_in_time_keeps_it() {
    let (mut table, now) = (Connections::default(), Instant::now());
    table.opened(&id(), 1, &token(1));
    // The new websocket is there before the old one was found to be dead.
    table.opened(&id(), 1, &token(1));
    table.closed(&id(), 1, &token(1), now);
    assert_eq!(due(&mut table, now + AFTER), []);
    table.closed(&id(), 1, &token(1), now);
    let late = due(&mut table, now + AFTER).remove(0);
    table.opened(&id(), 1, &token(1));
    assert!(!table.is_gone(&late), "in the moment it was to be ended");
    table.closed(&id(), 1, &token(1), now + AFTER);
    assert!(!table.is_gone(&late), "gone again, for a moment only");
    table.opened(&id(), 1, &token(1));
    table.ended(&late, true);
    assert_eq!(table.all()[&id()], [token(1)]);
}

#[test]
fn what_is_held_and_no_extension_hosts_is_kept_longer() {
    let (mut table, now) = (Connections::default(), Instant::now());
    for n in [1, 2, 3] {
        table.opened(&id(), 1, &token(n));
        table.closed(&id(), 1, &token(n), now);
    }
    assert!(table.hold(&id(), 1, &token(1)) && table.hold(&id(), 1, &token(2)));
    for due in due(&mut table, now + AFTER) {
        // Only the first is an extension host's.
        table.ended(&due, due.token == token(1));
    }
    assert_eq!(table.all()[&id()], [token(2)], "the third is nobody's: neither known nor held");
    assert_eq!(due(&mut table, now + AFTER * 9), []);
    assert_eq!(due(&mut table, now + AFTER * 10), [of(2, Part::Management, now)]);
    assert!(table.is_gone(&of(2, Part::Management, now)) && !table.is_gone(&of(2, Part::ExtensionHost, now)));
    table.ended(&of(2, Part::Management, now), true);
    assert_eq!(table.all().len(), 0);
}

#[test]
fn another_run_knows_nothing_of_it() {
    let (mut table, now) = (Connections::default(), Instant::now());
    table.opened(&id(), 1, &token(1));
    table.opened(&id(), 2, &token(2));
    table.closed(&id(), 1, &token(1), now);
    assert_eq!(table.all()[&id()], [token(2)]);
    table.closed(&id(), 2, &token(2), now);
    assert_eq!(table.due(now + AFTER, AFTER, |_| Some(3)), []);
    assert_eq!(table.all().len(), 0, "it does not run any more");
}

#[test]
fn nobody_grows_it_without_end() {
    let (mut table, now) = (Connections::default(), Instant::now());
    for n in 0..MOST * 2 {
        table.opened(&id(), 1, &token(n));
        table.closed(&id(), 1, &token(n), now + Duration::from_millis(n as u64));
        table.hold(&id(), 1, &token(n));
    }
    let run = &table.instances[&id()];
    assert_eq!(run.known.len(), MOST);
    assert!(run.known.contains_key(&token(MOST * 2 - 1)) && !run.known.contains_key(&token(MOST - 1)), "the oldest are forgotten");
    assert_eq!(run.held, MOST_HELD, "also those of forgotten ones count");
    table.released(&id(), 1, &token(0));
    assert_eq!(table.instances[&id()].held, MOST_HELD - 1);
    let mut table = Connections::default();
    for n in 0..MOST * 2 {
        table.opened(&id(), 1, &token(n));
    }
    assert_eq!(table.instances[&id()].known.len(), MOST, "those that are open stay, those beyond are not known");
}

#[test]
fn a_successor_goes_on() {
    let (mut table, now) = (Connections::default(), Instant::now());
    table.opened(&id(), 7, &token(1));
    let written = serde_json::to_vec(&table.all()).unwrap();
    let read: BTreeMap<InstanceId, Vec<ReconnectionToken>> = serde_json::from_slice(&written).unwrap();
    let mut table = Connections::default();
    table.restore(&id(), 1, &read[&id()], now);
    assert_eq!(due(&mut table, now + AFTER), [of(1, Part::ExtensionHost, now)]);
}
