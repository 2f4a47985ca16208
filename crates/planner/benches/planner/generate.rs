//! Seeded inventories in the `rcl` format: clusters that were sized for more than runs on them now.

use std::fmt::Write;

/// What a cluster is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// One group of one instance type.
    Homogeneous,
    /// One group of five instance types with prices.
    Types,
    /// Three groups, two types each, and services that may run in some groups and zones only, take
    /// host ports, or share no instance.
    Groups,
}

impl Family {
    pub(crate) const ALL: [Self; 3] = [Self::Homogeneous, Self::Types, Self::Groups];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Homogeneous => "homogeneous",
            Self::Types => "types",
            Self::Groups => "groups",
        }
    }
}

/// CPU units, memory in MiB after the agent's reserve, and the price an hour in millionths of a
/// dollar.
type Type = (i64, i64, u64);

const LARGE: Type = (2_048, 7_424, 96_000);
const TYPES: [Type; 5] = [
    (3_840, 15_138, 201_600),
    (7_936, 15_138, 357_000),
    (7_936, 30_988, 403_200),
    (7_936, 62_888, 529_200),
    (16_128, 62_888, 806_400),
];

struct Host {
    group: usize,
    zone: usize,
    shape: Type,
    free: (i64, i64),
    services: Vec<usize>,
}

struct Kind {
    cpu: i64,
    memory: i64,
    distinct: bool,
    port: i64,
    zones: u64,
    groups: u64,
    minimum: u32,
    strategy: u32,
    desired: usize,
}

/// An inventory of so many instances, of which about `slack_percent` of the larger resource is
/// free.
pub(crate) fn inventory(family: Family, size: usize, slack_percent: i64, seed: u64) -> String {
    let mut rng = fastrand::Rng::with_seed(seed);
    let groups = if family == Family::Groups { 3 } else { 1 };
    let mut hosts: Vec<Host> =
        (0..size).map(|index| host(family, index, groups, &mut rng)).collect();
    let mut kinds: Vec<Kind> =
        (0..(size / 5).max(10)).map(|index| kind(family, index, groups, &mut rng)).collect();
    let capacity: (i64, i64) =
        hosts.iter().fold((0, 0), |sum, host| (sum.0 + host.shape.0, sum.1 + host.shape.1));
    let (mut used, mut failed) = ((0, 0), 0);
    while failed < 20 * size
        && (used.0 * 100 / capacity.0).max(used.1 * 100 / capacity.1) < 100 - slack_percent
    {
        let index = rng.usize(..kinds.len());
        let chosen = rng.usize(..hosts.len());
        if takes(&hosts[chosen], &kinds, index) {
            let (host, kind) = (&mut hosts[chosen], &mut kinds[index]);
            host.free = (host.free.0 - kind.cpu, host.free.1 - kind.memory);
            host.services.push(index);
            used = (used.0 + kind.cpu, used.1 + kind.memory);
            kind.desired += 1;
        } else {
            failed += 1;
        }
    }
    write(&hosts, &kinds, groups)
}

fn host(family: Family, index: usize, groups: usize, rng: &mut fastrand::Rng) -> Host {
    let group = index % groups;
    let shape = match family {
        Family::Homogeneous => LARGE,
        Family::Types => TYPES[rng.usize(..TYPES.len())],
        Family::Groups => {
            let shape = TYPES[[2, 4][rng.usize(..2)]];
            // The second group is on Spot.
            if group == 1 { (shape.0, shape.1, shape.2 / 3) } else { shape }
        }
    };
    Host { group, zone: index / groups % 3, shape, free: (shape.0, shape.1), services: Vec::new() }
}

fn kind(family: Family, index: usize, groups: usize, rng: &mut fastrand::Rng) -> Kind {
    let cpu = [128, 256, 256, 512, 512, 768, 1_024][rng.usize(..7)];
    let memory = cpu * [1, 2, 2, 4, 8][rng.usize(..5)];
    let limited = family == Family::Groups;
    let one_in = |rng: &mut fastrand::Rng, times: usize| limited && rng.usize(..times) == 0;
    Kind {
        cpu,
        memory,
        distinct: one_in(rng, 12),
        port: if one_in(rng, 12) { index as i64 } else { -1 },
        zones: if one_in(rng, 10) { rng.u64(1..7) } else { 7 },
        groups: if one_in(rng, 2) { 1 << rng.usize(..groups) } else { (1 << groups) - 1 },
        minimum: [100, 100, 100, 50, 50, 0][rng.usize(..6)],
        strategy: [1, 1, 1, 2, 2, 3, 5, 6, 0][rng.usize(..9)],
        desired: 0,
    }
}

fn takes(host: &Host, kinds: &[Kind], index: usize) -> bool {
    let kind = &kinds[index];
    let conflict = |&running: &usize| {
        (kind.distinct && running == index) || (kind.port >= 0 && kinds[running].port == kind.port)
    };
    kind.cpu <= host.free.0
        && kind.memory <= host.free.1
        && kind.zones >> host.zone & 1 == 1
        && kind.groups >> host.group & 1 == 1
        && !host.services.iter().any(conflict)
}

fn write(hosts: &[Host], kinds: &[Kind], groups: usize) -> String {
    let mut text = "D 2 cpu memory\nZ 3\n".to_owned();
    for group in 0..groups {
        let size = hosts.iter().filter(|host| host.group == group).count();
        let _ = writeln!(text, "G {group} {} {size} {} 0", size / 20, 2 * size);
    }
    for (index, Host { group, zone, shape: (cpu, memory, price), .. }) in hosts.iter().enumerate() {
        let _ = writeln!(text, "I {index} {group} {zone} 0 {price} 0 864000 {cpu} {memory}");
    }
    for (index, kind) in kinds.iter().enumerate() {
        let Kind { cpu, memory, distinct, port, zones, groups, minimum, strategy, desired } = kind;
        let distinct = u8::from(*distinct);
        let maximum = if *minimum == 0 { 100 } else { 200 };
        let _ = writeln!(
            text,
            "S {index} {strategy} {distinct} {port} {zones} {groups} {desired} {minimum} \
             {maximum} {cpu} {memory}"
        );
    }
    for (index, host) in hosts.iter().enumerate() {
        for service in &host.services {
            let _ = writeln!(text, "T {index} {service} 0");
        }
    }
    text
}
