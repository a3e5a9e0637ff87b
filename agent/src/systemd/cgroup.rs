//! To which service a process belongs, by its cgroup.

use std::fs;

/// The service that this process is, where it is one.
pub fn own_service() -> Option<String> {
    service(&fs::read_to_string("/proc/self/cgroup").ok()?)
}

/// The unit of which /proc/PID/cgroup tells: the innermost service. Where both hierarchies are mounted, only one of them
/// may be systemd's.
pub fn service(cgroup: &str) -> Option<String> {
    let of_systemd = cgroup.lines().filter(|line| line.starts_with("0::") || line.contains(":name=systemd:"));
    let mut paths = of_systemd.filter_map(|line| line.rsplit(':').next());
    paths.find_map(|path| path.split('/').rfind(|part| part.ends_with(".service")).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_of_a_process_is_its_innermost_service() {
        for (cgroup, expected) in [
            ("0::/system.slice/apache2.service\n", Some("apache2.service")),
            ("0::/system.slice/system-app.slice/app@1.service\n", Some("app@1.service")),
            ("1:name=systemd:/system.slice/nginx.service\n0::/\n", Some("nginx.service")),
            ("1:name=systemd:/\n0::/system.slice/apache2.service\n", Some("apache2.service")),
            ("0::/user.slice/user-0.slice/user@0.service/app.slice/web.service\n", Some("web.service")),
            ("0::/user.slice/user-0.slice/session-1.scope\n", None),
            ("", None),
        ] {
            assert_eq!(service(cgroup).as_deref(), expected, "{cgroup}");
        }
    }
}
