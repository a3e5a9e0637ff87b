//! `[agent_check]`: the port that speaks HAProxy's agent protocol, and the weight that it asks for.

use std::net::SocketAddr;

use drain_config::{Mistake, Table, Value};

/// The port that speaks HAProxy's agent protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentCheck {
    /// Where it is asked; at least one address, none of them one of `listen`.
    pub listen: Vec<SocketAddr>,
    /// The weight that it asks for; `None`: it says nothing of weights.
    pub weight: Option<Weight>,
}

/// How the server's weight follows its load. Where several kinds of load are named, the busiest decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Weight {
    /// Whose load it is.
    pub of: Of,
    /// The processors, in per cent of all cores.
    pub cpu: Option<Span>,
    /// The memory in use, in per cent of what there is.
    pub memory: Option<Span>,
    /// The load average of the last minute, in per cent of the number of cores.
    pub load: Option<Span>,
    /// The least weight in per cent.
    pub floor: u8,
}

/// Whose load it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Of {
    /// The whole host's.
    Host,
    /// That of the server's own processes.
    Server,
}

/// From which load on a weight falls, and where it ends, in per cent; `from` is less than `to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Up to here the weight is whole.
    pub from: u16,
    /// From here on it is the floor.
    pub to: u16,
}

/// The least weight unless configured: a busy server still gets a share that shows when it is well again.
const FLOOR: u8 = 20;

/// Load averages may be many times the number of cores; nobody tells ten times from more.
const MOST_LOAD: u16 = 1000;

impl AgentCheck {
    /// `[agent_check]`; `own` are the addresses of the health endpoint.
    pub(super) fn read(table: &Table<'_>, own: &[SocketAddr]) -> Option<Self> {
        let listen = table.require("listen", r#""0.0.0.0:8405""#).and_then(|value| {
            value.each_once(|value| {
                let address = value.address()?;
                if own.iter().any(|other| other.port() == address.port()) {
                    value.wrong("has the port of `listen`", "expected another: the two speak differently");
                    return None;
                }
                Some(address)
            })
        });
        let weight = table.take("weight").map(|value| value.section(Weight::read));
        let weight = match weight {
            None => None,
            Some(written) => Some(written??),
        };
        Some(Self { listen: listen?, weight })
    }
}

impl Weight {
    fn read(table: &Table<'_>) -> Option<Self> {
        let of = table.choice("of", Of::Host, &[("host", Of::Host), ("server", Of::Server)]);
        let span = |key, most| table.field(key, None, |value| Some(Some(Span::read(value, most)?)));
        let (cpu, memory, load) = (span("cpu", 100), span("memory", 100), span("load", MOST_LOAD));
        let floor = table.number("floor", FLOOR, 1, 100).into_inner();
        if let (Of::Server, Some(place)) = (of.copied(), load.place()) {
            let title = format!("`{}` is the host's only", table.path_of("load"));
            let label = "processes have no load average: use `cpu`, or `of = \"host\"`";
            table.report(Mistake::new(place.clone(), title, label));
        }
        if [&cpu, &memory, &load].iter().all(|span| span.is_sound() && span.as_inner().is_none()) {
            let title = format!("`{}` follows nothing", table.path_of("").trim_end_matches('.'));
            let help = "write for example `weight = { cpu = [60, 95] }`: whole up to 60 % of the processors, the \
                        floor from 95 % on";
            table.report(Mistake::new(table.place(), title, "").help(help));
            return None;
        }
        let (cpu, memory, load) = (cpu.into_inner(), memory.into_inner(), load.into_inner());
        Some(Self { of: of.copied(), cpu, memory, load, floor })
    }
}

impl Span {
    /// `[from, to]`.
    fn read(value: &Value<'_>, most: u16) -> Option<Self> {
        let numbers = value.each(|number| number.number(0, most))?;
        match numbers[..] {
            [from, to] if from < to => Some(Self { from, to }),
            _ => {
                value.wrong(
                    "is not a span of load",
                    "expected two numbers that rise, in per cent: where the weight begins to fall, and where it is \
                     the floor, such as [60, 95]",
                );
                None
            }
        }
    }
}
