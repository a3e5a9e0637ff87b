//! What the packages bring beside the programs: man pages, completions, a configuration that is kept, a licence.

use drain_tests::{Place, SystemdBox};

use crate::packages::install;

/// The packages, the programs in them, their man pages, and the configuration that people change.
const PACKAGES: [(&str, &[&str], &[&str], &str); 2] = [
    (
        "drain-agent",
        &["drain-agent", "drainctl"],
        &["drain-agent", "drainctl", "drainctl-guard", "drainctl-setup"],
        "/etc/default/drain-agent",
    ),
    ("drain-proxy", &["drain-proxy"], &["drain-proxy"], "/etc/drain-proxy/proxy.toml"),
];

/// Whether systemd finds fault with a unit, its `Documentation=` included.
#[track_caller]
fn assert_sound(machine: &SystemdBox, unit: &str) {
    let out = machine.try_sh(&format!("systemd-analyze verify {unit}"));
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && said.trim().is_empty(), "{unit}: {said}");
}

#[test]
fn the_packages_bring_man_pages_completions_a_configuration_that_is_kept_and_a_licence() {
    let place = Place::new("packages_documents");
    let Some(machine) = SystemdBox::on(&place) else { return };
    for (package, programs, pages, configuration) in PACKAGES {
        install(&machine, package);
        for page in pages {
            let shown = machine.sh(&format!("man {page} | cat"));
            assert!(shown.contains("NAME") && shown.contains(page), "{page}: {shown}");
        }
        for program in programs {
            let bash = format!(
                "bash -c '. /usr/share/bash-completion/completions/{program} && complete -p {program}'"
            );
            assert!(machine.sh(&bash).contains(program));
            let zsh = machine.read(&format!("/usr/share/zsh/vendor-completions/_{program}"));
            assert!(zsh.starts_with(&format!("#compdef {program}")), "{zsh}");
            let fish = machine.read(&format!("/usr/share/fish/vendor_completions.d/{program}.fish"));
            assert!(fish.contains(&format!("complete -c {program} ")), "{fish}");
        }
        let kept = machine.sh(&format!("dpkg-query --show --showformat '${{Conffiles}}' {package}"));
        assert!(kept.contains(configuration), "{kept}");
        let copyright = machine.read(&format!("/usr/share/doc/{package}/copyright"));
        assert!(copyright.contains("MIT"), "{copyright}");
    }
    // There before any agent, and for everybody to pass through; made again, it is as it was.
    let runtime = || machine.sh("stat -c '%F %a' /run/drain-agent");
    assert_eq!(runtime(), "directory 755\n");
    machine.sh("systemd-tmpfiles --create drain-agent.conf");
    assert_eq!(runtime(), "directory 755\n");

    machine.sh("systemctl start apache2 && drainctl setup --yes --enable --listen 127.0.0.1:8404 && drainctl guard apache2");
    for unit in [
        "drain-agent@apache2.service",
        "drain-agent@apache2.socket",
        "drain-proxy.service",
        "drain-proxy.socket",
        "apache2-drain.service",
    ] {
        assert_sound(&machine, unit);
    }
}
