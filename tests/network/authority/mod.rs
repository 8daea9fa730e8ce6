//! Who may be hit, over real sockets: in a network of its own, in which addresses that belong to others answer, the program is led towards them in every way
//! there is, by the scenario and by what a service says. None of them gets a packet without `--authorize`, and each does with it.

mod courtesy;
mod led;
mod named;
mod service;
mod world;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use led::{a_name_that_moves, handed_out_by_a_service, through_a_proxy};
use named::named_by_the_scenario;
use service::{OTHERS, Service};
use world::World;

use crate::support::alone::alone;
use crate::support::output::text;

/// Says to this program that it is inside of the network of its own, and where its files are.
const INSIDE: &str = "RESURGE_TEST_NAMESPACE";
/// Names of hosts, and addresses of each.
const HOSTS: &str = "127.0.0.1 localhost\n8.8.8.8 public.test\n127.0.0.1 mixed.test\n203.0.113.7 mixed.test\n2001:4860:4860::8888 six.test\n127.0.0.1 moving.test\n";

fn ip(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).output().unwrap();
    assert!(done.status.success(), "ip {arguments:?}: {done:?}");
}

/// Not a test of its own: what runs in the network that the next one makes.
#[test]
fn inside_of_a_network_of_its_own() {
    let Some(home) = std::env::var_os(INSIDE) else { return };
    let home = PathBuf::from(home);
    ip(&["link", "set", "lo", "up"]);
    for other in OTHERS {
        let family = if other.contains(':') { "-6" } else { "-4" };
        let length = if other.contains(':') { "128" } else { "32" };
        ip(&[family, "addr", "add", &format!("{other}/{length}"), "dev", "lo"]);
    }
    let hosts = home.join("hosts");
    fs::write(&hosts, HOSTS).unwrap();
    let bound = Command::new("mount").arg("--bind").arg(&hosts).arg("/etc/hosts").status().unwrap();
    assert!(bound.success(), "the names of hosts are our own");
    let service = Service::start("[::]:0");
    let mut world = World { home, service, runs: 0 };
    named_by_the_scenario(&mut world);
    handed_out_by_a_service(&mut world);
    through_a_proxy(&mut world);
    a_name_that_moves(&mut world, &hosts);
}

#[test]
fn nobody_is_hit_who_was_not_authorised() {
    let unshare = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.arg("-rnm").args(arguments);
        command
    };
    let possible = unshare(&["ip", "link", "set", "lo", "up"]).output();
    if !possible.as_ref().is_ok_and(|output| output.status.success()) {
        println!(
            "SKIPPED: no network of its own can be made here (unshare -rnm ip link set lo up): {possible:?}"
        );
        return;
    }
    let _alone = alone();
    let home = TempDir::new().unwrap();
    let this = std::env::current_exe().unwrap();
    let output = unshare(&[])
        .arg(this)
        .args(["--exact", "authority::inside_of_a_network_of_its_own", "--nocapture"])
        .env(INSIDE, home.path())
        .output()
        .unwrap();
    let (said, why) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{why}");
}
