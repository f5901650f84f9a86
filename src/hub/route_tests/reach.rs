//! Which links a call of a leaf asks for its owner.

use super::*;

#[test]
fn a_call_asks_no_link_but_those_that_lead_to_its_owner() {
    let world = World::new(Role::Leads);
    let up = |n| {
        let link = Fake::new(&format!("r{n}"));
        world.hub.link_up(link.clone());
        link
    };
    let links: Vec<_> = (0..2_000).map(up).collect();
    let asked = || links.iter().map(|link| std::mem::take(&mut *link.asked.lock().unwrap())).sum::<usize>();
    for link in &links {
        world.sessions(link, &["ui", &format!("of-{}", link.id)]);
        link.serves.lock().unwrap().extend([id("ui"), id(&format!("of-{}", link.id))]);
    }
    for (at, leaf, link, most) in [
        ("conf.one", "\"%of-r1234.f\"", 1234, 1),
        ("conf-r77.everywhere", "\"%ui.f\"", 77, 1),
        ("conf-r78.both", "\"%of-r78.f\"", 78, 1),
    ] {
        world.put(at, leaf).unwrap();
        assert_eq!(world.call(None, at), Ok("7".into()), "{at}");
        world.hub.links().check();
        assert_eq!((links[link].said().len(), asked()), (1, most), "{at}");
    }
    // Its root isn't carried there, or nobody of that name is.
    world.put("conf-r5.not", "\"%of-r6.f\"").unwrap();
    world.put("conf.nobody", "\"%x.f\"").unwrap();
    for at in ["conf-r5.not", "conf.nobody"] {
        assert_eq!((world.call(None, at), asked()), (Err("no_owner"), 0), "{at}");
    }
    // Where one that leads there mayn't serve it, the next is asked.
    links[0].serves.lock().unwrap().clear();
    world.put("conf.next", "\"%ui.f\"").unwrap();
    assert_eq!((world.call(Some("r1"), "conf.next"), asked()), (Ok("7".into()), 2));
    assert_eq!(links[10].said().len(), 1);
}

#[test]
fn who_is_behind_a_link_is_known_as_long_as_it_is_up_and_said_so() {
    let world = World::new(Role::Leads);
    world.put("conf.f", "\"%svc.f\"").unwrap();
    let link = |name: &str, sessions: &[&str]| {
        let link = world.link(name);
        link.serves.lock().unwrap().push(id("svc"));
        world.sessions(&link, sessions);
        world.hub.links().check();
        link
    };
    let old = link("r1", &["a", "svc"]);
    assert_eq!(world.call(None, "conf.f"), Ok("7".into()));
    world.sessions(&old, &["a", "b"]);
    assert_eq!(world.call(None, "conf.f"), Err("no_owner"));
    world.sessions(&old, &["svc"]);
    // Replaced: what the old one still says, or its end, is none of the new one's.
    let new = link("r1", &[]);
    world.sessions(&old, &["svc"]);
    assert_eq!(world.call(None, "conf.f"), Err("no_owner"));
    world.sessions(&new, &["svc"]);
    world.hub.link_down(&*old, "replaced");
    world.hub.links().check();
    assert_eq!(world.call(None, "conf.f"), Ok("7".into()));
    world.hub.link_down(&*new, "gone");
    world.hub.links().check();
    assert_eq!(world.call(None, "conf.f"), Err("no_owner"));
}
