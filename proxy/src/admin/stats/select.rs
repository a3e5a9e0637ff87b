//! Which rows of the statistics are wanted: what stands behind `show stat`, or behind the page's address.

use super::{Kind, Row, Snapshot};

/// Which rows are wanted.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Filter {
    /// Of this proxy only.
    pub proxy: Option<u32>,
    /// Of these kinds only: 1 frontends, 2 backends, 4 servers, added up; 0: all.
    pub kinds: u32,
    /// Of the server of this number only.
    pub server: Option<u32>,
    /// Without servers that are not wanted.
    pub hide: Hide,
    /// Without what may tell strangers too much: addresses, cookies, algorithms.
    pub discreet: bool,
}

/// Which servers are not wanted.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Hide {
    /// All are wanted.
    #[default]
    None,
    /// Those that are down or in maintenance.
    Down,
    /// Those in maintenance.
    Maintenance,
}

impl Filter {
    /// The rows that are wanted. Backends tell how many of their servers are usable, where some are not wanted.
    pub fn rows(self, snapshot: &Snapshot) -> Vec<Row> {
        use super::Field::{Act, Addr, Algo, Bck, Cookie, Status};
        let mut servers = 0_u32;
        let mut rows = Vec::with_capacity(snapshot.rows.len());
        for row in &snapshot.rows {
            if row.kind == Kind::Server {
                servers += 1;
            }
            let of_backend = if row.kind == Kind::Backend { std::mem::take(&mut servers) } else { 0 };
            if !self.wants(row) {
                continue;
            }
            let mut row = row.clone();
            if self.discreet {
                for field in [Addr, Cookie, Algo] {
                    row.clear(field);
                }
            }
            if row.kind == Kind::Backend && self.hide != Hide::None {
                let usable = match row.number(Act) {
                    0 => row.number(Bck),
                    active => active,
                };
                let status = format!("{} ({usable}/{of_backend})", row.text(Status));
                row.set(Status, status);
            }
            rows.push(row);
        }
        rows
    }

    fn wants(self, row: &Row) -> bool {
        let status = row.text(super::Field::Status);
        let is_hidden = row.kind == Kind::Server
            && match self.hide {
                Hide::None => false,
                Hide::Down => status.starts_with("DOWN") || status.starts_with("MAINT"),
                Hide::Maintenance => status.starts_with("MAINT"),
            };
        !is_hidden
            && self.proxy.is_none_or(|proxy| proxy == row.proxy)
            && (self.kinds == 0 || self.kinds & (1 << row.kind.number()) != 0)
            && (row.kind != Kind::Server || self.server.is_none_or(|server| server == row.id))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Field, Info};
    use super::*;

    fn snapshot() -> Snapshot {
        let row = |kind, proxy, id, status: &str| {
            let mut row = Row::new(kind, proxy, id);
            row.set(Field::Status, status);
            row.set(Field::Act, 1_u32);
            row.set(Field::Addr, "127.0.0.1:80");
            row
        };
        let rows = vec![
            row(Kind::Frontend, 2, 0, "OPEN"),
            row(Kind::Server, 3, 1, "UP"),
            row(Kind::Server, 3, 2, "DOWN 1/2"),
            row(Kind::Server, 3, 3, "MAINT"),
            row(Kind::Backend, 3, 0, "UP"),
        ];
        Snapshot { info: Info::default(), rows }
    }

    #[track_caller]
    fn check(filter: Filter, expected: &[&str]) {
        let rows = filter.rows(&snapshot());
        let seen: Vec<_> = rows.iter().map(|row| row.text(Field::Status)).collect();
        assert_eq!(seen, expected, "{filter:?}");
    }

    #[test]
    fn only_what_is_wanted_is_shown() {
        let all = Filter::default();
        check(all, &["OPEN", "UP", "DOWN 1/2", "MAINT", "UP"]);
        check(Filter { proxy: Some(2), ..all }, &["OPEN"]);
        check(Filter { kinds: 4, ..all }, &["UP", "DOWN 1/2", "MAINT"]);
        check(Filter { kinds: 3, ..all }, &["OPEN", "UP"]);
        check(Filter { proxy: Some(3), kinds: 4, server: Some(2), ..all }, &["DOWN 1/2"]);
        check(Filter { hide: Hide::Down, ..all }, &["OPEN", "UP", "UP (1/3)"]);
        check(Filter { hide: Hide::Maintenance, ..all }, &["OPEN", "UP", "DOWN 1/2", "UP (1/3)"]);
        let rows = Filter { discreet: true, ..all }.rows(&snapshot());
        assert!(rows.iter().all(|row| row.value(Field::Addr).is_none()));
    }
}
