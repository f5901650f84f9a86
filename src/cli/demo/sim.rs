//! A router that isn't there: counters that go up, a load that wanders, Wi-Fi clients that come and go, now and then an
//! alarm. Pure and without a clock: the same seed and the same ticks make the same router.

use std::time::Duration;

use crate::path::{Key, Path};
use crate::store::Op;
use crate::value::{Finite, Value};

/// Devices that come and go, each with the rest of its address.
const DEVICES: [(&str, &str); 8] = [
    ("phone-anna", "5f:01"),
    ("laptop-ben", "a2:17"),
    ("tablet", "0c:44"),
    ("tv", "e8:90"),
    ("thermostat", "31:6b"),
    ("phone-carl", "77:d2"),
    ("e-reader", "4e:08"),
    ("guest", "b6:fa"),
];

const ALARMS: [&str; 4] = [
    "71 °C at the CPU",
    "5 GHz: radar seen, the channel changes",
    "3 failed logins over SSH",
    "the time server doesn't answer",
];

/// What a tick came to.
#[derive(Debug)]
pub(super) struct Tick {
    /// To be committed as one transaction.
    pub(super) ops: Vec<Op>,
    /// To be published.
    pub(super) alarms: Vec<String>,
}

struct Interface {
    name: &'static str,
    /// Bytes a second at its busiest.
    peak: f64,
    /// Received and sent, each with its present rate.
    bytes: [f64; 2],
    rates: [f64; 2],
}

/// A simulated router.
pub(super) struct Sim {
    /// Its operational tree.
    root: Key,
    name: &'static str,
    random: u64,
    uptime: f64,
    load: [f64; 3],
    free: i64,
    leds: bool,
    interfaces: Vec<Interface>,
    /// The devices that are here, by their place in the list.
    here: Vec<usize>,
    next_move: f64,
    next_alarm: f64,
    reboot_in: Option<f64>,
}

/// RAM of the router, in bytes.
const MEMORY: i64 = 256 << 20;

impl Sim {
    /// A router of this name, whose operational tree is `root`.
    pub(super) fn new(name: &'static str, root: Key) -> Sim {
        // FNV: names that differ make routers that differ.
        let seed = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let random = name.bytes().fold(0xcbf2_9ce4_8422_2325, seed);
        let interface = |(name, peak)| Interface { name, peak, bytes: [0.0; 2], rates: [0.0; 2] };
        let interfaces = [("wan", 4e6), ("br-lan", 3e6), ("phy1-ap0", 2e6)].map(interface).into();
        let mut sim = Sim {
            root,
            name,
            random,
            uptime: 0.0,
            load: [0.3, 0.2, 0.1],
            free: MEMORY / 2,
            leds: true,
            interfaces,
            here: Vec::new(),
            next_move: 0.4,
            next_alarm: 0.0,
            reboot_in: None,
        };
        // It has been up for a while when the demo begins.
        sim.uptime = 40_000.0 + 50_000.0 * sim.unit();
        sim.next_alarm = 3.0 + 5.0 * sim.unit();
        for at in 0..sim.interfaces.len() {
            for way in 0..2 {
                let bytes = 1e9 * sim.unit();
                if let Some(bytes_of) = sim.interfaces.get_mut(at).and_then(|i| i.bytes.get_mut(way)) {
                    *bytes_of = bytes.floor();
                }
            }
        }
        sim
    }

    /// A path in the operational tree.
    pub(super) fn at(&self, keys: &[&str]) -> Path {
        let keys = keys.iter().map(|key| Key::from(*key));
        Path::from_checked(std::iter::once(self.root.clone()).chain(keys).collect())
    }

    /// All that the router shows when it comes up.
    pub(super) fn whole(&self) -> Vec<Op> {
        let radio = |channel: i64, noise: i64| object([("channel", channel.into()), ("noise", noise.into())]);
        let mut ops = vec![
            put(self.at(&["leds"]), Value::from(self.leds)),
            put(self.at(&["memory", "total"]), Value::from(MEMORY)),
            put(self.at(&["wifi", "radio0"]), radio(6, -91)),
            put(self.at(&["wifi", "radio1"]), radio(100, -97)),
        ];
        ops.extend(self.numbers());
        ops
    }

    /// Lets time pass.
    pub(super) fn tick(&mut self, passed: Duration) -> Tick {
        let seconds = passed.as_secs_f64();
        self.uptime += seconds;
        self.count(seconds);
        let mut ops = self.numbers();
        let mut alarms = Vec::new();
        if let Some(left) = &mut self.reboot_in {
            *left -= seconds;
            if *left <= 0.0 {
                alarms.push(self.boot(&mut ops));
            }
        }
        self.next_move -= seconds;
        if self.next_move <= 0.0 {
            self.next_move = 0.8 + 1.6 * self.unit();
            ops.push(self.one_moves());
        }
        self.next_alarm -= seconds;
        if self.next_alarm <= 0.0 {
            self.next_alarm = 6.0 + 8.0 * self.unit();
            let what = ALARMS.get(self.below(ALARMS.len())).copied().unwrap_or_default();
            alarms.push(what.to_string());
        }
        Tick { ops, alarms }
    }

    /// Has it count from nothing, as one that was just switched on.
    pub(super) fn switched_on(&mut self) {
        self.uptime = 0.0;
        self.interfaces.iter_mut().for_each(|interface| interface.bytes = [0.0; 2]);
    }

    /// Has it boot again after so many seconds.
    pub(super) fn reboot(&mut self, delay: Duration) {
        self.reboot_in = Some(delay.as_secs_f64());
    }

    /// Switches its LEDs.
    pub(super) fn leds(&mut self, on: bool) -> Op {
        self.leds = on;
        put(self.at(&["leds"]), Value::from(on))
    }

    /// Milliseconds to another host and back.
    pub(super) fn round_trip(&mut self) -> Value {
        let time = 0.4 + 20.0 * self.unit() * self.unit();
        float(time)
    }

    /// It's there again, and has counted nothing yet; whoever was connected isn't.
    fn boot(&mut self, ops: &mut Vec<Op>) -> String {
        self.reboot_in = None;
        self.switched_on();
        *ops = self.numbers();
        for device in std::mem::take(&mut self.here) {
            ops.push(Op::Delete { path: self.client(device), expect: None });
        }
        "rebooted".into()
    }

    fn count(&mut self, seconds: f64) {
        let wander = [self.unit(), self.unit(), self.unit()];
        for ((load, wander), pull) in self.load.iter_mut().zip(wander).zip([0.3, 0.1, 0.03]) {
            *load += pull * (1.2 * wander - *load);
        }
        let free = MEMORY as f64 * (0.4 + 0.1 * self.unit());
        self.free = free as i64;
        for at in 0..self.interfaces.len() {
            let aims = [self.unit(), self.unit() / 4.0];
            let Some(interface) = self.interfaces.get_mut(at) else { continue };
            for ((rate, bytes), aim) in interface.rates.iter_mut().zip(&mut interface.bytes).zip(aims) {
                *rate += 0.3 * (aim * aim * interface.peak - *rate);
                *bytes += (*rate * seconds).ceil();
            }
        }
    }

    /// What changes with every tick.
    fn numbers(&self) -> Vec<Op> {
        let load = self.load.map(|load| float((load * 100.0).round() / 100.0));
        let mut ops = vec![
            put(self.at(&["uptime"]), Value::from(self.uptime as i64)),
            put(self.at(&["load"]), Value::list(load).unwrap_or(Value::Null)),
            put(self.at(&["memory", "free"]), Value::from(self.free)),
        ];
        for interface in &self.interfaces {
            for (way, bytes) in ["rx", "tx"].into_iter().zip(interface.bytes) {
                let number = |what: &str, number: f64| {
                    let name = format!("{way}_{what}");
                    put(self.at(&["interfaces", interface.name, &name]), Value::from(number as i64))
                };
                // As many packets as a mixture of large and small ones makes.
                ops.extend([number("bytes", bytes), number("packets", (bytes / 812.0).floor())]);
            }
        }
        ops
    }

    fn client(&self, device: usize) -> Path {
        let rest = DEVICES.get(device).map_or("", |(_, rest)| rest);
        self.at(&["wifi", "clients", &format!("7a:1c:{:02x}:3d:{rest}", self.name.len())])
    }

    /// A device comes, or one that is here goes.
    fn one_moves(&mut self) -> Op {
        let goes = self.here.len() >= 4 || (!self.here.is_empty() && self.below(5) < 2);
        if goes {
            let place = self.below(self.here.len());
            let device = self.here.remove(place);
            return Op::Delete { path: self.client(device), expect: None };
        }
        let away: Vec<usize> = (0..DEVICES.len()).filter(|device| !self.here.contains(device)).collect();
        let device = away.get(self.below(away.len())).copied().unwrap_or(0);
        self.here.push(device);
        let name = DEVICES.get(device).map_or("", |(name, _)| name);
        let signal = -40 - i64::try_from(self.below(40)).unwrap_or(0);
        let value = object([("name", name.into()), ("signal", signal.into()), ("band", "5g".into())]);
        Op::Put { path: self.client(device), value, expect: None, ephemeral: true }
    }

    /// A number from 0 to 1, by SplitMix64.
    fn unit(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number from 0 to one below `end`; 0 where there is none.
    fn below(&mut self, end: usize) -> usize {
        ((self.unit() * end as f64) as usize).min(end.saturating_sub(1))
    }
}

/// Sets a node that stays.
pub(super) fn put(path: Path, value: Value) -> Op {
    Op::Put { path, value, expect: None, ephemeral: false }
}

/// An object of these members, whose names differ.
pub(super) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members = members.into_iter().map(|(name, value)| (Key::from(name), value)).collect();
    Value::object(members).unwrap_or_else(|_| Value::empty_object())
}

/// Two digits behind the point say enough.
fn float(number: f64) -> Value {
    Finite::new((number * 100.0).round() / 100.0).map_or(Value::Null, Value::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(300);

    fn sim(name: &'static str) -> Sim {
        Sim::new(name, format!("operational-{name}").into())
    }

    fn number(tick: &Tick, name: &str) -> i64 {
        let found = tick.ops.iter().find_map(|op| match op {
            Op::Put { path, value, .. } if path.to_string().ends_with(name) => value.as_int(),
            _ => None,
        });
        found.unwrap()
    }

    #[test]
    fn the_same_router_does_the_same_and_another_another() {
        let days = |name| {
            let mut sim = sim(name);
            (0..200).map(|_| format!("{:?}", sim.tick(TICK))).collect::<Vec<_>>()
        };
        assert_eq!(days("attic"), days("attic"));
        assert_ne!(days("attic"), days("cellar"));
    }

    #[test]
    fn counters_go_up_and_a_reboot_sets_them_back() {
        let mut sim = sim("attic");
        let mut last = sim.tick(TICK);
        for _ in 0..50 {
            let next = sim.tick(TICK);
            for name in ["uptime", "wan.rx_bytes", "wan.tx_bytes", "br-lan.rx_packets"] {
                assert!(number(&next, name) >= number(&last, name), "{name}");
            }
            last = next;
        }
        assert!(number(&last, "uptime") > 40_000);
        sim.reboot(Duration::from_secs(1));
        let ticks: Vec<Tick> = (0..4).map(|_| sim.tick(TICK)).collect();
        assert!(number(&ticks[2], "uptime") > 40_000);
        assert_eq!((number(&ticks[3], "uptime"), number(&ticks[3], "wan.rx_bytes")), (0, 0));
        assert!(ticks[3].alarms.contains(&"rebooted".to_string()));
    }

    #[test]
    fn who_goes_had_come_and_nobody_comes_twice() {
        let mut sim = sim("office");
        let mut here = std::collections::BTreeSet::new();
        let (mut came, mut went) = (0, 0);
        for _ in 0..1_000 {
            for op in sim.tick(TICK).ops {
                match op {
                    Op::Put { path, ephemeral: true, .. } => {
                        came += 1;
                        assert!(here.insert(path.to_string()), "{path} came twice");
                    }
                    Op::Delete { path, .. } => {
                        went += 1;
                        assert!(here.remove(&path.to_string()), "{path} went, and wasn't here");
                    }
                    _ => {}
                }
            }
        }
        assert!(came > 50 && went > 50, "{came} came, {went} went");
    }
}
