//! What takes too long, what is too many, and the end. Limits are short here, and nothing depends on how long exactly.

use super::*;

const SHORT: Duration = Duration::from_millis(30);

#[test]
fn a_head_that_drips_is_ended_with_408() {
    let door = Running::with(Limits { head_time: SHORT, ..limits() });
    let mut client = door.connect();
    let rest = client.send("GET / HT").rest();
    assert!(rest.starts_with("HTTP/1.1 408 "), "{rest}");
}

#[test]
fn a_body_that_doesnt_come_is_ended_with_408() {
    let door = Running::with(Limits { transfer_time: SHORT, ..limits() });
    for head in ["Content-Length: 5\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n5\r\nabc"] {
        let rest = door.connect().send(format!("PUT /a HTTP/1.1\r\nHost: localhost\r\n{head}")).rest();
        assert!(rest.starts_with("HTTP/1.1 408 "), "{rest}");
    }
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let door = Running::with(Limits { idle_time: SHORT, ..limits() });
    assert_eq!(door.connect().rest(), "");
    let mut client = door.connect();
    client.ask(get("/a"));
    assert_eq!(client.rest(), "");
}

#[test]
fn who_doesnt_take_the_answer_is_cut_off() {
    let door = Running::with(Limits { transfer_time: SHORT, rate: 1 << 30, ..limits() });
    let mut client = door.connect();
    client.send(get("/big?8000000").repeat(4));
    door.wait_for(|counts| counts.accepted == 1 && counts.connections == 0);
    let mut rest = Vec::new();
    // However it ends, not everything came.
    let _ = client.0.read_to_end(&mut rest);
    assert!(rest.len() < 32_000_000);
}

#[test]
fn a_client_that_goes_away_in_the_middle_is_forgotten() {
    let door = Running::new();
    for part in ["", "GET", "PUT /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nabc"] {
        door.connect().send(part);
    }
    door.wait_for(|counts| counts.accepted == 3 && counts.connections == 0);
}

#[test]
fn at_the_limit_the_longest_idle_connection_makes_place() {
    let door = Running::with(Limits { connections: 3, ..limits() });
    let mut idle: Vec<Client> = (0..3).map(|_| door.connect()).collect();
    for client in &mut idle {
        client.ask(get("/a"));
    }
    for n in 1..=5 {
        // Kept open, so that it's in the way of the next one.
        idle.push(door.connect());
        assert_eq!(idle.last_mut().map(|client| client.ask(get("/new")).0), Some(200));
        assert_eq!(door.door.counts().evicted, n);
    }
}

#[test]
fn where_nobody_idles_a_new_connection_is_told_so() {
    let door = Running::with(Limits { connections: 2, ..limits() });
    let mut busy = [door.connect(), door.connect()];
    for client in &mut busy {
        client.send(get("/later"));
    }
    while door.echo.later.lock().unwrap().len() < 2 {
        std::thread::yield_now();
    }
    let rest = door.connect().rest();
    assert!(rest.starts_with("HTTP/1.1 503 ") && rest.contains("too_many"), "{rest}");
    door.echo.later.lock().unwrap().clear();
    for client in &mut busy {
        assert_eq!(client.answer().0, 500, "given up unanswered");
    }
    assert_eq!(door.connect().ask(get("/a")).0, 200);
}

#[test]
fn hundreds_that_drip_leave_others_served() {
    let door = Running::with(Limits { connections: 600, ..limits() });
    let mut held: Vec<Client> = (0..300).map(|_| door.connect()).collect();
    for client in held.iter_mut().step_by(2) {
        client.send("GET / HTTP/1.1\r\nX: ");
    }
    let mut client = door.connect();
    for _ in 0..100 {
        for dripping in held.iter_mut().step_by(20) {
            dripping.send("x");
        }
        assert_eq!(client.ask(get("/a")).0, 200);
    }
}

#[test]
fn the_stop_lets_what_is_under_way_end_and_no_more() {
    let mut door = Running::with(Limits { stop_time: Duration::from_secs(20), ..limits() });
    let (mut idle, mut busy) = (door.connect(), door.connect());
    idle.ask(get("/a"));
    busy.send(get("/later"));
    while door.echo.later.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    drop(door.stopper.take());
    assert_eq!(idle.rest(), "");
    for answer in door.echo.later.lock().unwrap().drain(..) {
        answer.send(Reply::json("last".into()));
    }
    let rest = busy.rest();
    assert!(rest.contains("\r\nConnection: close\r\n") && rest.ends_with("last"), "{rest}");
    drop(busy);
    door.stop();
    assert_eq!(door.door.counts().connections, 0);
    assert!(TcpStream::connect(door.address).is_err());
}

#[test]
fn the_stop_doesnt_wait_for_ever() {
    let mut door = Running::with(Limits { stop_time: SHORT, ..limits() });
    let mut busy = door.connect();
    busy.send(get("/later"));
    while door.echo.later.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    door.stop();
    assert_eq!(door.door.counts().connections, 0);
}
