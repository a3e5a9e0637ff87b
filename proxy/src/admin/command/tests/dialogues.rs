//! Commands, and what HAProxy has answered to them.

use super::*;

/// Each command, and what HAProxy 2.6.12 has answered to it with the same configuration.
async fn check(dialogue: &[(&str, &str)]) {
    let (desk, mut session) = (desk(), session(AdminLevel::Admin));
    for (command, expected) in dialogue {
        let mut said = answer(&desk, &mut session, command);
        if let Some(later) = session.later.take() {
            said = socket::framed(&session, later.await.unwrap()).unwrap();
        }
        assert_eq!(said, *expected, "{command}");
    }
}

#[tokio::test]
async fn weights_are_told_and_changed_as_by_haproxy() {
    check(&[
        ("get weight", "Require 'backend/server'.\n\n"),
        ("get weight shop", "Require 'backend/server'.\n\n"),
        ("get weight nope/a", "No such backend.\n\n"),
        ("get weight shop/nope", "No such server.\n\n"),
        ("get weight shop/a", "10 (initial 10)\n\n"),
        ("get weight #3/#2", "5 (initial 5)\n\n"),
        ("set weight shop/a", "Require <weight> or <weight%>.\n\n"),
        ("set weight shop/a abc", "Empty weight string empty or preceded by garbage\n"),
        ("set weight shop/a 300", "Absolute weight can only be between 0 and 256 inclusive.\n\n"),
        ("set weight shop/a 50%", "\n"),
        ("get weight shop/a", "5 (initial 10)\n\n"),
        (
            "set weight stat/s1 5",
            "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.\n\n",
        ),
        ("set weight stat/s1 0%", "\n"),
        ("set weight stat/s1 100%", "\n"),
        ("set server shop/a weight", "Require <weight> or <weight%>.\n\n"),
        ("set server shop/a weight 7", "\n"),
        ("get weight shop/a;get weight shop/b", "7 (initial 10)\n\n5 (initial 5)\n\n"),
    ])
    .await;
}

#[tokio::test]
async fn servers_are_commanded_as_in_haproxy() {
    check(&[
        ("disable server", "Require 'backend/server'.\n\n"),
        ("disable server shop/b", "\n"),
        ("enable server shop/nope", "No such server.\n\n"),
        ("set server shop/a", USAGE),
        ("set server shop/a state", "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n\n"),
        ("set server shop/a state drain", "\n"),
        (
            "set server shop/a health foo",
            "'set server <srv> health' expects 'up', 'stopping', or 'down'.\n\n",
        ),
        ("set server shop/b health down", "\n"),
        ("set server shop/a agent up", "agent checks are not enabled on this server.\n\n"),
        ("set server shop/d agent foo", "'set server <srv> agent' expects 'up' or 'down'.\n\n"),
        ("set server shop/d agent down", "\n"),
        ("set server shop/a addr", "set server <b>/<s> addr requires an address and optionally a port.\n\n"),
        ("set server shop/a addr 300.1.1.1", "Invalid addr '300.1.1.1' by 'stats socket command'\n\n"),
        ("set server shop/a addr 127.0.0.1", "no need to change the addr by 'stats socket command'\n\n"),
        ("set server shop/b check-port 1", "health checks are not enabled on this server\n"),
        ("set server shop/a check-port foo", "provided port is not an integer\n"),
        (
            "set server shop/a fqdn foo",
            "set server <b>/<s> fqdn failed because no resolution is configured.\n\n",
        ),
        ("enable health shop/b", "Health check was not configured on this server, cannot enable.\n\n"),
        ("enable agent shop/a", "Agent was not configured on this server, cannot enable.\n\n"),
        ("disable health shop/a", "\n"),
        ("enable health shop/a", "\n"),
        ("shutdown session", "Session pointer expected (use 'show sess').\n\n"),
        ("shutdown session 0x123", "No such session (use 'show sess').\n\n"),
        ("show sess 0x123", "Session not found.\n\n"),
        ("show sess all", "\n"),
        ("shutdown sessions server shop/a", "\n"),
        ("set maxconn server shop/a", "Require <maxconn>.\n\n"),
        ("set maxconn server shop/a 20", "\n"),
        ("add server shop/a 127.0.0.1:1", "Already exists a server with the same name in backend.\n\n"),
        ("del server shop/nope", "No such server.\n"),
        ("del server shop/a", "Only servers in maintenance mode can be deleted.\n"),
    ])
    .await;
}

/// With the end of the answer.
const USAGE: &str = "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | check-addr \
                     | check-port | fqdn | health | ssl | state | weight\n\n";

#[tokio::test]
async fn the_process_and_its_frontends_are_commanded_as_in_haproxy() {
    check(&[
        ("disable frontend", "A frontend name is expected.\n\n"),
        ("disable frontend nope", "No such frontend.\n\n"),
        ("enable frontend web", "All sockets are already enabled.\n\n"),
        ("disable frontend web", "\n"),
        ("disable frontend web", "All sockets are already disabled.\n\n"),
        ("enable frontend web", "\n"),
        ("set maxconn frontend web", "Integer value expected.\n\n"),
        ("set maxconn frontend web 300", "\n"),
        ("set maxconn global", "Expects an integer value.\n\n"),
        ("set maxconn global 999999", "Value out of range.\n\n"),
        ("set maxconn global 300", "\n"),
        ("set timeout", "'set timeout' only supports 'cli'.\n\n"),
        ("set timeout cli", "Expects an integer value.\n\n"),
        ("set timeout cli abc", "Invalid timeout value.\n\n"),
        ("set timeout cli 60", "\n"),
        ("clear counters", "\n"),
        ("clear counters all", "\n"),
        ("show backend", "# name\nshop\nstat\n\n"),
        ("show servers state nope", "Can't find backend.\n\n"),
        ("show table", "\n"),
        ("show table x", "No such table\n\n"),
        ("show env DRAIN_PROXY_NOPE", "Variable not found\n\n"),
        ("show stat nope 4 1", "No such proxy.\n\n"),
    ])
    .await;
}
