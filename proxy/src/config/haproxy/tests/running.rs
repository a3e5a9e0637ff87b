//! What a process that runs is asked by: states that outlast it, and numbers.

use super::*;

#[test]
fn servers_find_their_state_where_it_is_said() {
    let text = "global\n server-state-base /s\n server-state-file all\n\
                defaults\n mode http\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n load-server-state-from-file global\n\
                frontend f\n bind :80\n default_backend a\nbackend a\nbackend b\n load-server-state-from-file local\n\
                backend c\n load-server-state-from-file local\n server-state-file-name /c\n\
                backend d\n load-server-state-from-file none\n";
    let (config, said) = read(text).unwrap();
    assert_eq!(said, "");
    let file = |at: usize| config.backends[at].load_server_state.as_ref().map(|path| path.to_string_lossy());
    assert_eq!([0, 1, 2, 3].map(file).map(Option::unwrap_or_default), ["/s/all", "/s/b", "/c", ""]);
    for (from, to, expected) in [
        (
            " server-state-base /s\n",
            "",
            "[a.cfg:8] : 'load-server-state-from-file' : 'all' is no absolute path",
        ),
        ("from-file global", "from-file x", "expects 'global', 'local' or 'none', but 'x' follows."),
    ] {
        let said = read(&text.replace(from, to)).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
    let (_, said) = read(&text.replace(" server-state-file all\n", "")).unwrap();
    assert!(
        said.contains("'load-server-state-from-file global' has no effect without 'server-state-file'"),
        "{said}"
    );
}

#[test]
fn proxies_keep_haproxys_numbers() {
    let text = "defaults\n mode http\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n\
                frontend f\n bind :80\n default_backend b\nbackend b\nfrontend g\n bind :81\n default_backend b\n\
                backend off\n disabled\nbackend c\nbackend d\n id 77\nlisten e\n id 5\n bind :82\n";
    let (config, _) = read(text).unwrap();
    let numbers = |config: &Config| config.proxies.iter().map(|proxy| proxy.number).collect::<Vec<_>>();
    assert_eq!(numbers(&config), [2, 3, 4, 7, 77, 5]);
    let import =
        Import::of(&[Source { name: "a.cfg".into(), text: text.replace(" disabled\n", "") }], &|_| None);
    assert_eq!(import.toml().matches("\nid = ").count(), 2, "{}", import.toml());
    let said = read(&text.replace("id 77", "id 5")).unwrap_err();
    assert!(said.contains("[a.cfg:17] : 'id' : ") || said.contains("[a.cfg:19] : 'id' : "), "{said}");
}
